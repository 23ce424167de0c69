"""What is asked of the services of a node: supervisord, the web server, commands, other nodes."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from da_agent.domain.application.readiness import Answer, Wanted, Worker
from da_agent.domain.config.settings import Settings
from da_agent.domain.node.rpc_ports import Credentials
from da_agent.domain.release.releases import Release


class Supervisor(Protocol):
    """The supervisord of this node. Every method raises NodeBroken when it cannot be reached."""

    def pid(self, program: str) -> int | None:
        """The process of a running program; None when it does not run."""

    def start(self, program: str) -> None:
        """Afterwards the program runs (or, for a one-shot, has been begun); nothing happens when it runs already.

        NodeBroken, with the end of the program's log, when supervisor says that it does not stay up.
        """

    def stop(self, program: str) -> None:
        """Afterwards it does not run: it had the time that supervisor gives it; nothing happens when it does not."""

    def failed(self) -> tuple[str, ...]:
        """The programs that should run and do not, because supervisor has given them up or is about to."""

    def revive(self) -> None:
        """Begin again what it has given up, all at once. Each of these has `failed` until it stays up."""

    def ending(self) -> bool:
        """Whether it is stopping every program, to end or to start anew."""

    def starting(self) -> tuple[str, ...]:
        """Those that were begun again and have neither stayed up nor been given up yet."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A command: what it printed, line by line, and what was wrong with its end; None when it ended well."""

    lines: tuple[str, ...]
    failure: str | None = None


class Commands(Protocol):
    """Commands that people wrote into the settings."""

    def run(self, number: int, command: str, patience: timedelta) -> Ended:
        """Run a line of shell as the web user, with the environment of a staged release, to its end or its time-out.

        NodeBroken when it cannot be started. May not be repeated without harm unless its author says so.
        """


@dataclass(frozen=True, slots=True)
class Reply:
    """What a page answered: its status, and the start of its body."""

    status: int
    start: bytes


class Notifier(Protocol):
    """Wakes other nodes, through the supervisord of each."""

    def notify(self, addresses: Mapping[str, str], credentials: Credentials) -> frozenset[str]:
        """Wake the nodes of `addresses` (by name), all at once; the names of those that could not be woken.

        Never raises, and takes little more than 2 seconds, however many do not answer: the nodes poll, too.
        """


class WebService(Protocol):
    """The web server of this node: its files, its start, and how it takes over another release."""

    def prepare(self) -> None:
        """The WSGI file and what every release shares exist and are up to date; an equal file is not touched."""

    def render(self, release: Release, settings: Settings, into: Path) -> None:
        """Write the web server's configuration for a release that lies at `into` (a release's directory)."""

    def rehearse(self, number: int) -> None:
        """Check the staged release in throw-away processes, as the web user, with its own bytes: `pip check`, import
        of the application, the web server's own check of its configuration. ReleaseBroken with the reason."""

    def running(self) -> bool:
        """Whether all of it runs that should."""

    def start(self) -> None:
        """Start what does not run, on the release that the switch points to. NodeBroken, with the end of its log, when
        it does not stay up."""

    def serve(self, number: int, patience: timedelta, approve: Callable[[], object] = lambda: None) -> None:
        """Make the web server serve a staged release, to which the switch points, with the least disturbance.

        After return new requests are answered by it, and no request was lost. `approve` is called when the
        application had to be loaded, before anybody but `get` is answered by it; what it raises is raised.
        ReleaseBroken when the application cannot be loaded, or not within `patience`. After an error of either kind
        the release before is served as before.
        """

    def needs_no_reload(self, number: int) -> bool:
        """Whether a staged release could take over without any worker process being touched."""

    def cuts(self, number: int) -> bool:
        """Whether a staged release could take over only by a restart that ends requests that take long."""

    def reload(self) -> None:
        """Touch the WSGI file: every worker process is replaced before its next request, by one of the same release."""

    def log(self) -> tuple[str, ...]:
        """The last lines of what the web server and the application had to complain about."""


class Workers(Protocol):
    """The worker processes of the application, and what they say of themselves."""

    def workers(self) -> frozenset[Worker]:
        """Processes of the live group that are alive now, found among the web server's own, not assumed."""

    def wanted(self, number: int) -> Wanted:
        """How the worker processes know a staged release; without a fingerprint when an older agent has staged it."""

    def ask(self, at_least: int) -> tuple[Answer, ...]:
        """Ask the loader's URL until `at_least` processes of the live group have answered, or for a few seconds; one
        answer for each.

        No answers when the web server does not answer at all.
        """


class Traffic(Protocol):
    """The requests that come to this node."""

    def get(self, path: str, *, warming: bool, patience: timedelta) -> Reply | None:
        """A page of the application, as the live group answers it, or the group that is about to take over.

        None when nobody has answered within `patience`: what of it is of interest has come by then, to its end.
        """

    def drain(self, *, on: bool) -> None:
        """While it is on, the loader's URL says that nobody should come; who comes all the same is served."""

    def draining(self) -> bool: ...

    def active(self) -> int:
        """How many requests the live group is answering."""

    def under_way(self) -> int | None:
        """As `active`, without a question to supervisord, which answers none while it ends; None when nothing listens.

        A web server that accepts connections and does not answer in time is busy: 1."""


RereadCertificates = Callable[[Collection[Path]], tuple[str, ...]]
"""Tells each server that presents the live release's certificates, or reads them in the given folders, to read them
again; running requests are finished. Returns the servers that were told; none where no such server runs."""
