"""A node in memory: its releases, its web server, and a hand that can cut the power before any effect."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from da_agent import ports
from da_agent.domain.application.readiness import Answer, Wanted, Worker
from da_agent.domain.config.settings import Settings
from da_agent.domain.node.node_states import NodeState
from da_agent.domain.packages.locked import Locked, Sources
from da_agent.domain.packages.wheels import Target, Wheel
from da_agent.domain.release.releases import Contents, Release
from da_agent.domain.store import keys
from da_agent.domain.store.blobs import Blob, blob_of
from da_agent.domain.store.inboxes import Entry
from da_agent.errors import Conflict, Corrupt, NodeBroken, NotFound, ReleaseBroken

TARGET = Target("3.11", "linux_x86_64")


class Killed(BaseException):
    """The power was cut."""


@dataclass
class Power:
    """Counts effects, and cuts the power before number `cut` (from 0)."""

    cut: int | None = None
    effects: list[str] = field(default_factory=list)
    on: dict[str, Callable[[], object]] = field(default_factory=dict)
    """What happens at the moment of an effect."""

    def effect(self, name: str) -> None:
        if self.cut == len(self.effects):
            self.cut = None
            raise Killed(name)
        self.effects.append(name)
        self.on.get(name, lambda: None)()


@dataclass
class FakeInstallation:
    """Implements ports.Installation; `bad` are releases that cannot be staged, `full` says why none can."""

    power: Power = field(default_factory=Power)
    live: int | None = None
    disk: dict[int, Release] = field(default_factory=dict)
    bad: set[int] = field(default_factory=set)
    damaged: set[int] = field(default_factory=set)
    full: str | None = None

    def current(self) -> int | None:
        return self.live

    def staged(self) -> frozenset[int]:
        return frozenset(self.disk)

    def load(self, number: int) -> Release:
        if number not in self.disk:
            raise NotFound(f"release {number} is not staged")
        return self.disk[number]

    def verify(self, number: int) -> None:
        if number in self.damaged:
            raise Corrupt("a file was changed")

    def require_room(self, release: Release) -> None:
        if self.full is not None:
            raise NodeBroken(self.full)

    def stage(self, release: Release, settings: Settings) -> None:
        self.power.effect("begin to stage")
        self.disk.pop(release.number, None)
        self.power.effect("stage")
        if release.number in self.bad:
            raise ReleaseBroken("a wheel does not fit")
        self.damaged.discard(release.number)
        self.disk[release.number] = release

    def switch(self, number: int) -> None:
        self.power.effect("switch")
        assert number in self.disk
        self.live = number

    def needless(self, keep: frozenset[int], before: datetime) -> tuple[int, ...]:
        """All are old here, and no process uses any."""
        return tuple(sorted(set(self.disk) - keep - {self.live}))

    def remove(self, number: int) -> None:
        self.disk.pop(number, None)

    def sweep(self, keep: frozenset[int]) -> None:
        self.power.effect("sweep")
        self.disk = {number: release for number, release in self.disk.items() if number in keep | {self.live}}


@dataclass
class FakePrograms:
    """Implements ports.Supervisor and ports.Commands: programs that run, commands that end as they are told to.

    `broken` fail whatever is done; what `fails` stays so until it is revived under better circumstances.
    """

    broken: tuple[str, ...] = ()
    fails: Callable[[], tuple[str, ...]] = lambda: ()
    fatal: tuple[str, ...] = ()
    ends: bool = False
    failures: dict[str, str] = field(default_factory=dict)
    ran: list[tuple[int, str]] = field(default_factory=list)

    def pid(self, program: str) -> int | None:
        return 1

    def start(self, program: str) -> None:
        pass

    def stop(self, program: str) -> None:
        pass

    def failed(self) -> tuple[str, ...]:
        self.fatal = self.fatal or self.fails()
        return self.broken + self.fatal

    def starting(self) -> tuple[str, ...]:
        return ()

    def ending(self) -> bool:
        return self.ends

    def revive(self) -> None:
        self.fatal = self.fails()

    def run(self, number: int, command: str, patience: timedelta) -> ports.Ended:
        self.ran.append((number, command))
        return ports.Ended(("a line",), self.failures.get(command))


@dataclass
class FakeWeb:
    """Implements ports.WebService, ports.Workers and ports.Traffic.

    Workers stay on the release that they were pinned to when they started."""

    installation: FakeInstallation
    power: Power = field(default_factory=Power)
    up: bool = False
    fails: set[int] = field(default_factory=set)
    hangs: set[int] = field(default_factory=set)
    unfit: set[int] = field(default_factory=set)
    unpresentable: set[int] = field(default_factory=set)
    """Those whose certificates the web server cannot use."""
    abrupt: set[int] = field(default_factory=set)
    workers_: dict[int, int | None] = field(default_factory=dict)
    pin: int | None = None
    next_pid: int = 100
    stuck: bool = False
    drains: bool = False
    busy: int = 0
    """How many requests are being answered, all the time."""
    presents: bool = True
    """Whether what it serves has a certificate."""
    reloads: int = 0
    status: int = 200
    """What every page answers."""
    patiences: list[timedelta] = field(default_factory=list)
    """How long each page was waited for."""

    def prepare(self) -> None:
        pass

    def render(self, release: Release, settings: Settings, into: Path) -> None:
        pass

    def rehearse(self, number: int) -> None:
        self.power.effect("rehearse")
        if number in self.unfit:
            raise ReleaseBroken("the application cannot be imported")

    def running(self) -> bool:
        return self.up

    def workers(self) -> frozenset[Worker]:
        return frozenset(Worker(pid, float(pid)) for pid in self.workers_)

    def wanted(self, number: int) -> Wanted:
        return Wanted(number, self._fingerprint(number))

    def ask(self, at_least: int) -> tuple[Answer, ...]:
        return tuple(
            Answer(pid, release, self._fingerprint(release), "it does not start" if release in self.fails else None)
            for pid, release in self.workers_.items()
            if release not in self.hangs
        )

    def get(self, path: str, *, warming: bool, patience: timedelta) -> ports.Reply | None:
        self.patiences.append(patience)
        self.power.on.get("page", lambda: None)()
        return ports.Reply(self.status, b"") if self.up else None

    def start(self) -> None:
        self.power.effect("start")
        if not self.up:
            self.up = True
            self.pin = self.installation.live
            self._fresh()

    def serve(self, number: int, patience: timedelta, approve: Callable[[], object] = lambda: None) -> None:
        if self.stuck:
            raise NodeBroken("the web server cannot be reached")
        if not self.up:
            self.start()
        if self._fingerprint(self.pin) != self._fingerprint(number):
            self.power.effect("warm")
            if number in self.fails | self.hangs:
                raise ReleaseBroken("it does not start")
            approve()
            self.power.effect("flip")
            self.pin = number
            self._fresh()
            self.power.effect("relieve")
        if number in self.unpresentable:
            raise NodeBroken("port 443 does not present the certificate")
        self.pin = number

    def reload(self) -> None:
        self.power.effect("reload")
        if self.stuck:
            raise NodeBroken("the web server cannot be reached")
        self.reloads += 1
        self._fresh()

    def read_certificates(self, places: Collection[Path]) -> tuple[str, ...]:
        if not (self.up and self.presents):
            return ()
        self.power.effect("certificates")
        return ("tls",)

    def needs_no_reload(self, number: int) -> bool:
        return self._fingerprint(self.pin) == self._fingerprint(number)

    def cuts(self, number: int) -> bool:
        return number in self.abrupt

    def drain(self, *, on: bool) -> None:
        self.power.effect("drain" if on else "undrain")
        self.drains = on

    def draining(self) -> bool:
        return self.drains

    def active(self) -> int:
        return self.busy

    def under_way(self) -> int | None:
        return self.busy if self.up else None

    def log(self) -> tuple[str, ...]:
        return ("the last line",)

    def _fingerprint(self, number: int | None) -> str | None:
        """What the application would notice; nothing is known of a release that is not on the disk."""
        found = self.installation.disk.get(number) if number is not None else None
        return None if found is None else f"{found.contents.config} {found.contents.wheels}"

    def _fresh(self) -> None:
        self.workers_ = {self.next_pid + n: self.pin for n in range(2)}
        self.next_pid += 2


@dataclass
class CutNodeStates:
    """Implements ports.NodeStates; cut before each save."""

    power: Power
    node_state: NodeState | None = None

    def load(self) -> NodeState | None:
        return self.node_state

    def save(self, node_state: NodeState) -> None:
        self.power.effect("node_state")
        self.node_state = node_state


class FakeSnapshots:
    """Implements ports.Snapshots over a store; paths are made up, and `contents` tells what lies behind them."""

    def __init__(self, store: ports.Store) -> None:
        self.store = store
        self.fetched: list[str] = []

    @contextmanager
    def take(self, entries: Iterable[Entry], overlay: Mapping[str, bytes | Path]) -> Iterator[ports.Snapshot]:
        yield _FakeSnapshot(self, {entry.key: entry for entry in entries}, overlay)


@dataclass
class _FakeSnapshot:
    owner: FakeSnapshots
    entries: Mapping[str, Entry]
    overlay: Mapping[str, bytes | Path]

    def read(self, key: str) -> bytes:
        body = self.overlay.get(key)
        if isinstance(body, bytes):
            return body
        stored = self.owner.store.read(key)
        if stored.tag != self.entries[key].tag:
            raise Conflict(f"{key} changed")
        return stored.data

    def fetch(self, keys: Iterable[str]) -> Mapping[str, tuple[Blob, Path]]:
        wanted = list(keys)
        self.owner.fetched += wanted
        return {key: (blob_of(self.read(key)), Path("/snapshot") / key) for key in wanted}


@dataclass
class FakeResolver:
    """Implements ports.Resolver: every requirement and distribution is a wheel of its own name; `error` is raised."""

    error: BaseException | None = None
    resolved: list[Sources] = field(default_factory=list)

    @property
    def target(self) -> Target:
        return TARGET

    @contextmanager
    def resolve(self, sources: Sources, previous: Sequence[Wheel]) -> Iterator[tuple[Locked, ...]]:
        self.resolved.append(sources)
        if self.error is not None:
            raise self.error
        names = sorted({re.split(r"[^\w.]", each)[0] for each in (*sources.requirements, *sources.distributions)})
        yield tuple(Locked(wheel(name), None) for name in names)


def wheel(name: str, version: str = "1") -> Wheel:
    return Wheel(name, version, f"{name}-{version}-py3-none-any.whl", blob_of(f"{name} {version}".encode()))


def contents(config: bytes = b"a: 1\n", wheels: tuple[Wheel, ...] = ()) -> Contents:
    return Contents(blob_of(config), (), (), TARGET, wheels)


def put_configuration(store: ports.Store, made: Release) -> None:
    """The store has the one that `release` has given to `made`, or to one before: no rollout is opened without it."""
    given = (f"a: {number}\n".encode() for number in range(1, made.number + 1))
    config = next(each for each in given if blob_of(each) == made.contents.config)
    store.write(keys.blob_key(made.contents.config), config, ports.Always())


def release(number: int, what: Contents | None = None) -> Release:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Release(number, f"nonce{number}", at, "somebody", "a test", what or contents(f"a: {number}\n".encode()))
