"""Interfaces to the services of a node: supervisord, the web server, commands, other nodes."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from da_agent.domain.application.readiness import Answer, Wanted, Worker
from da_agent.domain.config.settings import Settings
from da_agent.domain.node.notifications import Key
from da_agent.domain.release.releases import Release


class Supervisor(Protocol):
    """The supervisord of this node. Every method raises NodeBroken when supervisord cannot be reached."""

    def pid(self, program: str) -> int | None:
        """The process id of a running program; None when the program does not run."""

    def start(self, program: str) -> None:
        """Start the program; does nothing when it already runs. A one-shot has been started on return, others run.

        NodeBroken, with the end of the program's log, when supervisord reports that it does not stay up.
        """

    def stop(self, program: str) -> None:
        """Stop the program, within the time that supervisord allows it; does nothing when it does not run."""

    def failed(self) -> tuple[str, ...]:
        """The programs that should run and do not, because supervisord stopped restarting them or is about to."""

    def revive(self) -> None:
        """Start all failed programs again at once. Each one stays in `failed` until it stays up."""

    def ending(self) -> bool:
        """Whether supervisord is stopping every program, in order to exit or to restart."""

    def starting(self) -> tuple[str, ...]:
        """The programs that were started again and have neither stayed up nor failed yet."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A finished command: the lines that it printed, and `failure`, which is None when it succeeded."""

    lines: tuple[str, ...]
    failure: str | None = None


class Commands(Protocol):
    """Runs the commands of the settings."""

    def run(self, number: int, command: str, patience: timedelta) -> Ended:
        """Run a shell line as the web user in the environment of staged release `number`, for at most `patience`.

        NodeBroken when the command cannot be started. Not safe to repeat, unless the command itself is.
        """


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer of a page: its HTTP status, and the start of its body."""

    status: int
    start: bytes


class Notifier(Protocol):
    """Notifies other nodes."""

    def notify(self, destinations: Mapping[str, tuple[str, int]], key: Key) -> frozenset[str]:
        """Notify all nodes (name: IP address and port) at once; returns the names of those that have not answered.

        No secret is sent. Takes `limits.ANSWERS` at most, however many nodes do not answer, and whatever is answered. A
        node that misses the notification learns of the change from its next poll.
        """


class WebService(Protocol):
    """The web server of this node: its files, its start, and its change to another release."""

    def prepare(self) -> None:
        """Bring the WSGI file and the files that all releases share up to date. Unchanged files are not touched."""

    def render(self, release: Release, settings: Settings, into: Path) -> None:
        """Write the web server's configuration for the release in the directory `into`."""

    def rehearse(self, number: int) -> None:
        """Check the staged release in throw-away processes, as the web user, with its own bytes.

        The checks: `pip check`, an import of the application, and the web server's test of its configuration.
        ReleaseBroken, with the reason, when one fails.
        """

    def running(self) -> bool:
        """Whether every program that should run does."""

    def start(self) -> None:
        """Start the programs that do not run, on the release that the switch points to.

        NodeBroken, with the end of the program's log, when one does not stay up.
        """

    def serve(self, number: int, patience: timedelta, approve: Callable[[], object] = lambda: None) -> None:
        """Make the web server serve the staged release that the switch points to, with the least disturbance.

        On return the release answers new requests, and no request was lost. `approve` is called when the application
        had to be loaded, before it answers any request but those of `get`. An exception of `approve` propagates.
        ReleaseBroken when the application cannot be loaded within `patience`.
        After either error, the previous release is served as before.
        """

    def needs_no_reload(self, number: int) -> bool:
        """Whether a staged release can take over without a change to any worker process."""

    def cuts(self, number: int) -> bool:
        """Whether a staged release needs a restart that cuts off long requests."""

    def reload(self) -> None:
        """Touch the WSGI file. Each worker process is replaced before its next request by one of the same release."""

    def log(self) -> tuple[str, ...]:
        """The last lines of the error log of the web server and the application."""


class Workers(Protocol):
    """The worker processes of the application, and what they report about themselves."""

    def workers(self) -> frozenset[Worker]:
        """The live group's processes that are alive now, found among the web server's own processes, not assumed."""

    def wanted(self, number: int) -> Wanted:
        """How the worker processes identify a staged release; without a fingerprint when an older agent staged it."""

    def ask(self, at_least: int) -> tuple[Answer, ...]:
        """One answer from each process of the live group that answers the loader's URL.

        Asks until `at_least` processes have answered, or for a few seconds. Empty when the web server does not answer.
        """


class Traffic(Protocol):
    """The requests to this node."""

    def get(self, path: str, *, warming: bool, patience: timedelta) -> Reply | None:
        """Get a page from the live group or, when `warming`, from the group that is about to take over.

        None unless the whole relevant part of the answer arrives within `patience`.
        """

    def drain(self, *, on: bool) -> None:
        """While on, the loader's URL tells load balancers to stay away. Requests that still arrive are served."""

    def draining(self) -> bool: ...

    def active(self) -> int:
        """The number of requests that the live group is answering."""

    def under_way(self) -> int | None:
        """As `active`, without supervisord, which answers no questions while it exits; None when nothing listens.

        1 when the web server accepts connections and does not answer in time: it is busy.
        """


RereadCertificates = Callable[[Collection[Path]], tuple[str, ...]]
"""Reloads each server that presents the live release's certificates or reads them from the given folders.

Running requests finish. Returns the names of the reloaded servers; empty when no such server runs.
"""
