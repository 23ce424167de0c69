"""What is asked of the outside world: protocols over domain values, one page.

Errors named here are those of `da_agent.errors`. Unless a method says otherwise it may be repeated without harm,
and after an error nothing of what it promises to change has changed.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol, TypeVar

from da_agent.domain.blobs import Blob
from da_agent.domain.inboxes import Entry
from da_agent.domain.journals import Journal
from da_agent.domain.packages import Locked, Sources
from da_agent.domain.passports import Passport
from da_agent.domain.places import Placed, Places
from da_agent.domain.proofs import Answer, Wanted, Worker
from da_agent.domain.releases import Release, Target, Wheel
from da_agent.domain.rpc_ports import Credentials
from da_agent.domain.settings import Settings
from da_agent.domain.tables import Table
from da_agent.errors import AgentError

T = TypeVar("T")

Sink = Callable[[bytes], object]
"""Takes the next bytes of a stream."""

# ---- the store ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as it was read: bytes, tag and modification time belong together."""

    data: bytes
    tag: str
    modified_at: datetime


class Always:
    """Write whatever is there."""


class IfAbsent:
    """Write only where nothing is yet: one winner, however many try."""


@dataclass(frozen=True, slots=True)
class IfTag:
    """Write only over the object that carried this tag."""

    tag: str


Condition = Always | IfAbsent | IfTag


class Store(Protocol):
    """The bucket or directory that all nodes share. Keys are relative to its prefix.

    Every method raises Unreachable (no answer, a time-out, 5xx), Forbidden (403, bad credentials) or StoreUnfit
    (the store says that it does not know the operation). Absent is only ever the store's own clear answer:
    a directory store whose root is missing, not mounted or not a directory is Unreachable, not empty.
    """

    @property
    def name(self) -> str:
        """How people call it: its URL without credentials."""

    @property
    def identity(self) -> str:
        """Endpoint and bucket, or file system and path: what a passport is valid for."""

    def clock(self) -> datetime:
        """The store's own time (UTC), which alone is compared with modification times."""

    def read(self, key: str) -> Stored:
        """The whole small object; Absent when there is none."""

    def fetch(self, key: str, sink: Sink, start: int = 0) -> None:
        """Stream the object from byte `start` on into `sink` in bounded chunks; Absent when there is none.

        Nothing comes when it ends before `start`. What is cut goes on inside, with the same object, as long as enough
        of it comes; Lost when it was replaced meanwhile. After an error `sink` has had the first part of what it was
        to get. Whether the bytes before `start` were those of the same object only a checked hash can say.
        """

    def write(self, key: str, body: bytes | Path, when: Condition) -> str:
        """Write atomically and durably under `when`; returns the new tag.

        Lost: the condition did not hold and nothing was written. Absent: IfTag, and the object is gone.
        Doubtful: conditional, and nobody knows whether it happened (never retried inside).
        Unconditional writes are retried inside.
        """

    def scan(self, prefix: str, after: str = "") -> Iterator[Entry]:
        """Every object whose key begins with `prefix` and sorts behind `after`, in order of keys (by code point)."""

    def survey(self, prefixes: Sequence[str]) -> Iterator[Entry]:
        """Every object whose key begins with one of `prefixes`, which do not contain each other: with as few requests
        as the store can do it with, in any order."""

    def delete(self, key: str) -> None:
        """Afterwards there is no such object; there need not have been one."""


class Race(Protocol):
    """Lets several do something to the store at the same instant."""

    def run(self, jobs: Sequence[Callable[[], T]]) -> list[T | AgentError]:
        """Begin all jobs at once and wait for all: what each returned or raised, in the order of `jobs`."""


class Haste(Protocol):
    """Asks those who may be long in answering, when something else waits for the answer."""

    def ask(self, question: Callable[[], T]) -> T:
        """What `question` returns or raises; Unreachable when it takes longer than a few seconds. It may go on then, so
        it must change nothing on this node."""


class Passports(Protocol):
    """What was found out about stores, kept by their identity."""

    def load(self, identity: str) -> Passport | None:
        """None when the store was not examined yet, or when its passport is damaged or of an older kind."""

    def save(self, passport: Passport) -> None:
        """Replace what was known about the same store, atomically."""


# ---- blobs on the node ----------------------------------------------------------------------------------------


class Blobs(Protocol):
    """The node's own copies of blobs. What is in here has the right bytes: it was hashed while it was written,
    and is looked at again after whatever could have spoilt it."""

    def has(self, blob: Blob) -> bool: ...

    def path(self, blob: Blob) -> Path:
        """Where it lies (read-only); valid when `has`."""

    def receive(self, blob: Blob, fill: Callable[[Sink, int], object]) -> None:
        """Take the bytes that `fill` hands to the sink, from the place that it is given on. Commit point: one rename,
        when the hash is right.

        What came before an error of `fill` is kept, and the next one, also of another process, is asked for the rest.
        When that turns out wrong, everything is thrown away and asked for once more.
        Raises Tampered when the bytes are not the blob's, NodeBroken when the disk is full, and whatever `fill` raises.
        """

    def needless(self, keep: frozenset[Blob], before: datetime) -> tuple[str, ...]:
        """The hashes of every other blob that was received before that moment."""

    def remove(self, sha256: str) -> None:
        """Afterwards there is no such blob; there need not have been one."""


class Progress(Protocol):
    """Tells a person how long work goes on. Never fails, never decides."""

    def work(self, title: str, total: int, unit: str) -> AbstractContextManager[Callable[[int], None]]:
        """`total` of `unit` ("bytes", "packages", …) are to be done; call the value with each part that is."""

    def step(self, title: str) -> AbstractContextManager[Callable[[str], None]]:
        """Something that may take long, nobody knows how long; call the value with what is being done now."""

    def say(self, sentence: str) -> None: ...


class Board(Protocol):
    """Shows a person how a rollout goes. Never fails, never decides."""

    def shown(self) -> AbstractContextManager[Callable[[Table], None]]:
        """Call the value with each newer table; the last one stays."""


class Transfers(Protocol):
    """Many blobs at once between store and node, in parallel."""

    def fetch(self, blobs: Iterable[Blob]) -> None:
        """Afterwards the node has them all; those it already had are not asked for.

        StoreDamaged, naming the object, when the store has no such blob or other bytes under its name.
        """

    def upload(self, bodies: Mapping[Blob, bytes | Path]) -> None:
        """Afterwards the store has them all, whole. What it already has is not sent again."""

    def mend(self, blobs: Collection[Blob], find: Callable[[Blob], bytes | None] = lambda _: None) -> frozenset[Blob]:
        """Read all of them in the store, and write again those that are missing or have other bytes: from the node's
        own, or from what `find` gives, which must be the right bytes. Those that nobody here has are returned."""


class Snapshot(Protocol):
    """The objects of one inbox as they were when it was listed, or as they are about to be written."""

    def read(self, key: str) -> bytes:
        """A small object. Lost when it is no longer the one that was listed."""

    def fetch(self, keys: Iterable[str]) -> Mapping[str, tuple[Blob, Path]]:
        """Any objects, copied to files that keep their base names, in parallel. Lost as in `read`."""


class Snapshots(Protocol):
    """Takes copies of the inbox."""

    def take(self, entries: Iterable[Entry], overlay: Mapping[str, bytes | Path]) -> AbstractContextManager[Snapshot]:
        """The copy of `entries`, with `overlay` instead of what the store has under those keys; gone afterwards."""


# ---- the node -------------------------------------------------------------------------------------------------


class Installation(Protocol):
    """The releases on this node's disk, and the switch."""

    def current(self) -> int | None:
        """Where the switch points; None before the first release, or when it points at nothing."""

    def staged(self) -> frozenset[int]:
        """Complete releases: those whose commit point was reached."""

    def load(self, number: int) -> Release:
        """The manifest of a staged release; Absent when it is not staged, Tampered when it is damaged."""

    def verify(self, number: int) -> None:
        """Tampered, naming the file, unless a staged release still has the bytes that it was staged with."""

    def require_room(self, release: Release) -> None:
        """NodeBroken, naming the folder and the missing bytes, when fetching and staging `release` could fill a disk.

        What the node has of it already is not counted.
        """

    def stage(self, release: Release, settings: Settings) -> None:
        """Build the release beside the live one from blobs that the node has, offline; its manifest comes last.

        ReleaseBroken when it cannot be built from its contents, NodeBroken when the node is at fault.
        """

    def switch(self, number: int) -> None:
        """Make a staged release live in one step: before it the old one is, after it the new, also after a crash."""

    def needless(self, keep: frozenset[int], before: datetime) -> tuple[int, ...]:
        """Releases that were touched last before that moment, unfinished ones too, and are neither live, nor in `keep`,
        nor used by a process."""

    def remove(self, number: int) -> None:
        """Afterwards there is no such release, for whoever has found it needless; there need not have been one."""

    def sweep(self, keep: frozenset[int]) -> None:
        """Remove unfinished releases and complete ones that are neither live, nor in `keep`, nor used by a process."""


class CertificateFolders(Protocol):
    """Certificates where other programs look for them: files 0400, whole folders, switched in one step each.

    A folder of somebody else that cannot be moved away (a mount) is changed file by file instead; `Placed` says so.
    Refused when a folder holds more than certificates; NodeBroken for what else the node does not allow.
    """

    def read(self, folder: Path) -> Mapping[str, bytes] | None:
        """The files in a folder and those below, by relative name; None when there is no such folder."""

    def follow(self, places: Places) -> tuple[Placed, ...]:
        """The places have the live release's certificates. A release without any takes nothing away from others."""

    def show(self, certificates: Mapping[str, bytes], places: Places) -> tuple[Placed, ...]:
        """The places have these files, until there is a release that has some."""


class Environments(Protocol):
    """Makes a release's own Python environment."""

    def build(self, wheels: Sequence[Wheel], into: Path) -> None:
        """A whole environment at `into`, from wheels whose blobs the node has: offline, every hash checked.

        ReleaseBroken when wheels do not fit this Python or do not install; NodeBroken when the node is at fault.
        An unfinished one may be left at `into` after an error.
        """

    def forget(self) -> None:
        """Drop what was kept of wheels whose blobs the node does not have any more. What is built stays whole."""


class Journals(Protocol):
    """The node's memory."""

    def load(self) -> Journal | None:
        """None when there is none, or when it is damaged: then it is rebuilt from what is on disk."""

    def save(self, journal: Journal) -> None:
        """Replace it atomically and durably."""


class Contact(Protocol):
    """When this node last had an answer from the store; only to tell people, nothing depends on it."""

    def heard(self) -> None: ...

    def last(self) -> datetime | None: ...


class Lock(Protocol):
    """One at a time on a node: sync, update, initialize and install_certs exclude each other."""

    def hold(self, patience: timedelta) -> AbstractContextManager[None]:
        """Busy, naming the holder, when it is not free within `patience`. A dead holder holds nothing."""


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


class Pokes(Protocol):
    """Wakes other nodes, through the supervisord of each."""

    def poke(self, addresses: Mapping[str, str], credentials: Credentials) -> frozenset[str]:
        """Wake the nodes of `addresses` (by name), all at once; the names of those that could not be woken.

        Never raises, and takes little more than 2 seconds, however many do not answer: the nodes poll, too.
        """


class WebServer(Protocol):
    """Apache with the application's worker processes, on this node."""

    def prepare(self) -> None:
        """The WSGI file and what every release shares exist and are up to date; an equal file is not touched."""

    def render(self, release: Release, settings: Settings, into: Path) -> None:
        """Write the web server's configuration for a release that lies at `into` (a release's directory)."""

    def rehearse(self, number: int) -> None:
        """Check the staged release in throw-away processes, as the web user, with its own bytes: `pip check`, import
        of the application, the web server's own check of its configuration. ReleaseBroken with the reason."""

    def running(self) -> bool:
        """Whether all of it runs that should."""

    def workers(self) -> frozenset[Worker]:
        """Processes of the live group that are alive now, found among the web server's own, not assumed."""

    def wanted(self, number: int) -> Wanted:
        """How the worker processes know a staged release; without a fingerprint when an older agent has staged it."""

    def ask(self, at_least: int) -> tuple[Answer, ...]:
        """Ask the loader's URL until `at_least` processes of the live group have answered, or for a few seconds; one
        answer for each.

        No answers when the web server does not answer at all.
        """

    def get(self, path: str, *, warming: bool, patience: timedelta) -> Reply | None:
        """A page of the application, as the live group answers it, or the group that is about to take over.

        None when nobody has answered within `patience`: what of it is of interest has come by then, to its end.
        """

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

    def is_harmless(self, number: int) -> bool:
        """Whether a staged release could take over without any worker process being touched."""

    def cuts(self, number: int) -> bool:
        """Whether a staged release could take over only by a restart that ends requests that take long."""

    def drain(self, *, on: bool) -> None:
        """While it is on, the loader's URL says that nobody should come; who comes all the same is served."""

    def draining(self) -> bool: ...

    def active(self) -> int:
        """How many requests the live group is answering."""

    def log(self) -> tuple[str, ...]:
        """The last lines of what the web server and the application had to complain about."""

    def reload(self) -> None:
        """Touch the WSGI file: every worker process is replaced before its next request, by one of the same release."""

    def read_certificates(self, places: Collection[Path]) -> tuple[str, ...]:
        """Whoever presents those of the release that is served, or reads them in `places`, does so again; running
        requests are finished. Who was told; nobody where nothing of that runs."""


class Resolver(Protocol):
    """Turns requirements into the exact wheels that every node installs."""

    @property
    def target(self) -> Target:
        """What this machine's Python and platform can resolve and build for."""

    def resolve(self, sources: Sources, previous: Sequence[Wheel]) -> AbstractContextManager[tuple[Locked, ...]]:
        """Every distribution of the result, sorted by name; paths are valid inside the context.

        Versions of `previous` are preferred, and its wheels are used again rather than made again.
        Refused, with uv's reason shortened, when the requirements cannot be met or a source cannot be built (naming
        the missing header). NotHere when this machine has no index or no builder. Unreachable: an index that
        does not answer.
        """


class Clock(Protocol):
    """This machine's time, and waiting."""

    def now(self) -> datetime:
        """UTC. Somebody may set it, forward or back."""

    def elapsed(self) -> timedelta:
        """Since some moment before this process began. Nobody can set it, and it goes on while the machine is
        suspended: for how long something has taken."""

    def wait(self, period: timedelta) -> bool:
        """Return after `period`, or at once when something woke us (True). A stop raises Stopped."""

    def wake(self) -> None:
        """Make the wait that goes on, or else the next one, return at once. From any thread."""

    def stop(self) -> None:
        """Make the wait that goes on, and each one after it, raise Stopped. From any thread."""
