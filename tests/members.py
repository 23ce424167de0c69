"""Nodes of a cluster whose disk, web server and lock are in memory; the store is any."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

from da_agent import ports
from da_agent.domain.config.settings import Health, Settings
from da_agent.domain.node.reports import Phase, Report
from da_agent.domain.store import keys
from da_agent.errors import Stopped
from da_agent.wiring.convergers import Web, converger
from da_agent.workflows.node.converger import Converger
from da_agent.workflows.node.reconciler import Reconciler
from da_agent.workflows.node.rollout_client import RolloutClient
from da_agent.workflows.publish.drafts import Drafts
from da_agent.workflows.publish.inbox_leader import InboxLeader
from tests import built
from tests.fake_nodes import CutNodeStates, FakeInstallation, FakePrograms, FakeResolver, FakeSnapshots, FakeWeb, Power
from tests.fakes import (
    FakeClock,
    FakeLock,
    FakeNotifier,
    MemoryBlobs,
    MemoryStore,
    MemoryTransfers,
    NoDeadline,
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
    node_states: ports.NodeStates,
    transfers: ports.Transfers,
    web: Web,
    rollout_client: RolloutClient,
    clock: ports.Clock,
    programs: FakePrograms,
    progress: ports.Progress | None = None,
    settings: Settings = SETTINGS,
    place: Callable[[], object] = lambda: None,
) -> Converger:
    """What wiring builds for a real one."""
    return converger(
        installation=installation,
        node_states=node_states,
        transfers=transfers,
        web=web,
        commands=programs,
        supervisor=programs,
        rollout_client=rollout_client,
        clock=clock,
        progress=progress or SilentProgress(),
        settings=lambda _: settings,
        place=place,
        verdict=rollout_client._rollouts.read,
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
    identity: str = ""

    def __post_init__(self) -> None:
        self.installation = FakeInstallation()
        self.web = FakeWeb(self.installation)
        self.node_states = CutNodeStates(Power())
        self.programs = FakePrograms()
        self.clock.on_wait = self._pass_time
        self.deadline: ports.Deadline = NoDeadline()
        self.reconciler = self.begin()

    def _nonce(self) -> str:
        self.nonces += 1
        return f"{self.name}-{self.nonces}"

    def _pass_time(self, _: int) -> None:
        if isinstance(self.store, MemoryStore):
            self.store.now += self.clock.waits[-1]

    def begin(self) -> Reconciler:
        """A new process of the agent on the same node."""
        transfers = MemoryTransfers(self.store, MemoryBlobs())
        drafts = Drafts(
            snapshots=FakeSnapshots(self.store),
            resolver=self.resolver,
            progress=self.progress,
            now=self.store.clock,
            trusted=tuple,
            handshake=lambda _: None,
        )
        rollout_client = RolloutClient(
            self.store, built.rollouts(self.store, self._nonce), self.clock, self.name, deadline=NoDeadline()
        )
        notifications = built.notifications(self.store, FakeNotifier(), lambda: None, self.clock)
        publisher = built.publisher(
            self.store,
            transfers,
            drafts,
            self.clock,
            notifications,
            rollouts=built.rollouts(self.store, self._nonce),
            who=self.name,
            nonce=lambda: self.name,
        )
        self.reconciler = Reconciler(
            store=self.store,
            ledger=built.ledger(self.store),
            admit=self.admit,
            inbox_leader=InboxLeader(
                store=self.store,
                ledger=built.ledger(self.store),
                inboxes=built.inboxes(self.store),
                publish=publisher.publish,
                publishing=built.leases(self.store, holder=self.name, nonce=self.name),
                watching=built.leases(self.store, holder=self.name, nonce=self.name, key=keys.INBOX_LEADER),
                clock=self.clock,
                progress=self.progress,
                render=f"name: {self.name}\n".encode,
            ),
            node=node(
                installation=self.installation,
                node_states=self.node_states,
                transfers=transfers,
                web=self.web,
                rollout_client=rollout_client,
                clock=self.clock,
                programs=self.programs,
                progress=self.progress,
            ),
            rollout_client=rollout_client,
            lock=FakeLock(),
            heard=self.contact.heard,
            last_contact=self.contact.last,
            clock=self.clock,
            deadline=self.deadline,
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
                identity=self.identity,
            ),
            settings=Settings,
            chance=lambda: 0.5,
        )
        return self.reconciler

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
                self.reconciler.run(lambda: True)
        finally:
            self.clock.on_wait = self._pass_time

    def put(self, key: str, data: bytes) -> None:
        self.store.write(key, data, ports.Always())

    @property
    def live(self) -> int | None:
        return self.installation.live
