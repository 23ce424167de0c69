"""Nodes of a cluster whose disk, web server and lock are in memory; the store is any."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

from da_agent import ports
from da_agent.domain import keys
from da_agent.domain.reports import Phase, Report
from da_agent.domain.settings import Health, Settings
from da_agent.errors import Stopped
from da_agent.workflows.adoptions import Adoption
from da_agent.workflows.checkups import Checkup
from da_agent.workflows.converges import Node
from da_agent.workflows.courses import Course
from da_agent.workflows.drafts import Drafts
from da_agent.workflows.follows import Follower
from da_agent.workflows.leases import Leases
from da_agent.workflows.lookouts import Lookout
from da_agent.workflows.rollouts import Rollouts
from da_agent.workflows.trials import Trials
from da_agent.workflows.wakings import Waking
from tests.fake_nodes import CutJournals, FakeInstallation, FakePrograms, FakeResolver, FakeSnapshots, FakeWeb, Power
from tests.fakes import (
    FakeClock,
    FakeLock,
    FakePokes,
    MemoryBlobs,
    MemoryStore,
    MemoryTransfers,
    NoHaste,
    SilentProgress,
)

S = TypeVar("S", bound=ports.Store)


class Contact:
    """When the store was heard, as a count."""

    def __init__(self) -> None:
        self.times = 0

    def heard(self) -> None:
        self.times += 1

    def last(self) -> datetime | None:
        return None


SETTINGS = Settings(start_timeout=timedelta(seconds=2), health=Health(minimum=timedelta()))


def node(
    *,
    installation: ports.Installation,
    journals: ports.Journals,
    transfers: ports.Transfers,
    web: ports.WebServer,
    course: Course,
    clock: ports.Clock,
    programs: FakePrograms,
    progress: ports.Progress | None = None,
    settings: Settings = SETTINGS,
    place: Callable[[], object] = lambda: None,
) -> Node:
    """What wiring builds for a real one."""
    progress = progress or SilentProgress()
    trials = Trials(
        installation=installation,
        journals=journals,
        web=web,
        checkup=Checkup(web, programs, programs, clock),
        clock=clock,
        progress=progress,
        settings=lambda _: settings,
        place=place,
        revive=programs.revive,
        verdict=course._rollouts.read,
    )
    return Node(
        installation=installation,
        journals=journals,
        transfers=transfers,
        web=web,
        commands=programs,
        trials=trials,
        course=course,
        clock=clock,
        progress=progress,
        settings=lambda _: settings,
    )


@dataclass
class Member(Generic[S]):
    """A node of a cluster in memory."""

    store: S
    name: str
    resolver: FakeResolver = field(default_factory=FakeResolver)
    clock: FakeClock = field(default_factory=FakeClock)
    progress: SilentProgress = field(default_factory=SilentProgress)
    contact: Contact = field(default_factory=Contact)
    nonces: int = 0

    def __post_init__(self) -> None:
        self.installation = FakeInstallation()
        self.web = FakeWeb(self.installation)
        self.journals = CutJournals(Power())
        self.programs = FakePrograms()
        self.clock.on_wait = self._pass_time
        self.haste: ports.Haste = NoHaste()
        self.follower = self.begin()

    def _nonce(self) -> str:
        self.nonces += 1
        return f"{self.name}-{self.nonces}"

    def _pass_time(self, _: int) -> None:
        if isinstance(self.store, MemoryStore):
            self.store.now += self.clock.waits[-1]

    def begin(self) -> Follower:
        """A new process of the agent on the same node."""
        transfers = MemoryTransfers(self.store, MemoryBlobs())
        drafts = Drafts(
            snapshots=FakeSnapshots(self.store),
            resolver=self.resolver,
            progress=self.progress,
            now=self.store.clock,
            trusted=frozenset,
        )
        course = Course(self.store, Rollouts(self.store, self._nonce), self.clock, self.name, haste=NoHaste())
        waking = Waking(self.store, FakePokes(), lambda: None, self.clock)
        adoption = Adoption(
            self.store,
            transfers,
            drafts,
            self.clock,
            waking,
            rollouts=Rollouts(self.store, self._nonce),
            who=self.name,
            nonce=lambda: self.name,
        )
        self.follower = Follower(
            store=self.store,
            admit=self.admit,
            lookout=Lookout(
                store=self.store,
                adopt=adoption.adopt,
                adopting=Leases(self.store, holder=self.name, nonce=self.name),
                watching=Leases(self.store, holder=self.name, nonce=self.name, key=keys.LOOKOUT),
                clock=self.clock,
                progress=self.progress,
                render=f"name: {self.name}\n".encode,
            ),
            node=node(
                installation=self.installation,
                journals=self.journals,
                transfers=transfers,
                web=self.web,
                course=course,
                clock=self.clock,
                programs=self.programs,
                progress=self.progress,
            ),
            course=course,
            lock=FakeLock(),
            contact=self.contact,
            clock=self.clock,
            haste=self.haste,
            progress=self.progress,
            report=Report(
                self.name,
                "host",
                "address",
                None,
                None,
                Phase.STARTING,
                None,
                "0",
                "3.11",
                datetime(2026, 1, 1, tzinfo=UTC),
            ),
            settings=Settings,
            chance=lambda: 0.5,
        )
        return self.follower

    def admit(self) -> None:
        """Every store is fit here."""

    def run(self, polls: int, before: Callable[[int], object] = lambda number: None) -> None:
        """The loop, stopped after so many polls; `before` is called with the number of each wait between them."""

        def count(number: int) -> None:
            self._pass_time(number)
            before(number - done)
            if number - done == polls:
                raise Stopped

        done = len(self.clock.waits)
        self.clock.on_wait = count
        try:
            with suppress(Stopped):
                self.follower.run(lambda: True)
        finally:
            self.clock.on_wait = self._pass_time

    def put(self, key: str, data: bytes) -> None:
        self.store.write(key, data, ports.Always())

    @property
    def live(self) -> int | None:
        return self.installation.live
