"""What a node observes before each action."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from da_agent.domain import texts
from da_agent.domain.application.readiness import Worker
from da_agent.domain.node.evidence import Evidence
from da_agent.domain.node.node_health import NodeHealth
from da_agent.domain.node.node_states import NodeState, Rejection
from da_agent.domain.node.preparations import Preparations
from da_agent.domain.node.probation_watch import ProbationWatch
from da_agent.domain.node.slot_use import SlotUse
from da_agent.domain.rollout.rollouts import Rollout, Slot


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the store says.

    rollout    the record of the newest release
    fallback   the release to go to when the newest one is quarantined or not stable
    at         the time by the store's clock
    node       the name of this node
    others     how many other nodes are alive; None: not listed
    denied     why the last claim of a slot failed; None when this node has not asked since the record changed
    excluded      why this machine takes no part in the rollout: another machine may have its name
    """

    node: str
    at: datetime
    rollout: Rollout
    fallback: int | None = None
    others: int | None = 0
    denied: str | None = None
    excluded: str | None = None

    @property
    def slot(self) -> Slot | None:
        """This node's slot; None when it has none or when the slot has expired."""
        held = self.rollout.slot(self.node)
        return held if held is not None and held.until > self.at else None


@dataclass(frozen=True, slots=True)
class Releases:
    """The releases at hand, as numbers.

    offered   releases of the ledger whose manifests are at hand, so that they can be staged
    staged    releases that are complete and undamaged on disk
    current   the release that the symbolic link `current` points to
    """

    offered: tuple[int, ...] = ()
    staged: frozenset[int] = frozenset()
    current: int | None = None


@dataclass(frozen=True, slots=True)
class WebServer:
    """What the web server does now.

    running          whether it runs
    workers          its worker processes
    draining         whether the loader's URL tells the load balancer to send no requests
    without_reload   releases that can be served without touching a worker process
    """

    running: bool = False
    workers: frozenset[Worker] = frozenset()
    draining: bool = False
    without_reload: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Observation:
    """What a node observes, and what its process remembers. Numbers are release numbers.

    now          the wall clock, for comparison with what was written down
    elapsed      the monotonic clock, for the moments that the process remembers
    node_state   what outlives the process
    cluster      what the store says; None when the store has not answered

    The other values are what the process remembers between two actions. A new process begins without them.
    """

    now: datetime
    node_state: NodeState
    elapsed: timedelta = timedelta()
    cluster: Cluster | None = None
    releases: Releases = field(default_factory=Releases)
    web: WebServer = field(default_factory=WebServer)
    preparations: Preparations = field(default_factory=Preparations)
    slot_use: SlotUse = field(default_factory=SlotUse)
    evidence: Evidence = field(default_factory=Evidence)
    watch: ProbationWatch = field(default_factory=ProbationWatch)
    health: NodeHealth = field(default_factory=NodeHealth)

    @property
    def conducts(self) -> bool:
        """Whether this process began the probation that is in the node state."""
        probation = self.node_state.probation
        return probation is not None and self.watch.probation == probation

    @property
    def has_ready_workers(self) -> bool:
        """Whether there are worker processes and each of them is known to serve the release."""
        return bool(self.web.workers) and self.web.workers <= self.evidence.ready_workers

    def retries(self, number: int) -> int:
        """The number of retries of release `number`.

        In the probation of that release it is the number when the probation began. The store may be away when a
        probation ends, and a rejection with too low a number would be retried.
        """
        probation = self.node_state.probation
        if probation is not None and probation.release == number:
            return probation.retries
        rollout = self.cluster.rollout if self.cluster is not None else None
        return len(rollout.retries) if rollout is not None and rollout.release == number else 0

    def rejection(
        self, number: int, reason: str, *, at: datetime, lasting: bool = True, log: tuple[str, ...] = ()
    ) -> Rejection:
        """The record of a release that this node rejects; a later `retry` lets the node try the release again."""
        return Rejection(number, texts.reason(reason), at, lasting, self.retries(number), texts.log(log))
