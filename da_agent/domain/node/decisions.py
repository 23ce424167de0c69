"""The next action of a node, as a function of what the node observes.

The loop observes, calls `decide`, does that one action and begins again. No other state says where the loop was. So the
process may die between any two effects: the next observation shows what was done, and the loop goes on from there.

A node that is behind stages, rehearses, claims a slot, drains and reads the record again. Then it switches, probes,
checks, and commits or reverts; last, it reports the result. The switch begins the probation. The probation is written
to the node state before the switch. A process that finds a probation it did not begin takes it back.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from da_agent.domain.application.readiness import Readiness, Worker
from da_agent.domain.node.actions import (
    Accept,
    Action,
    Check,
    Claim,
    Commit,
    Drain,
    GiveBack,
    Idle,
    Look,
    Probe,
    Recover,
    Rehearse,
    Revert,
    Review,
    RunReleaseCommand,
    Stage,
    Start,
    Switch,
    TellFailed,
    TellUnhealthy,
    TellUpdated,
    Undrain,
)
from da_agent.domain.node.node_states import NodeState
from da_agent.domain.rollout.rollouts import Rollout, Slot, State, is_bad
from da_agent.domain.rollout.slots import SLACK, is_stopped
from da_agent.domain.rollout.verdicts import review_is_due


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the store says.

    rollout    the record of the newest release
    fallback   the release to go to when the newest one is quarantined or not stable
    at         the time by the store's clock
    node       the name of this node
    others     how many other nodes are alive; None: not listed
    denied     why the last claim of a slot failed; None when this node has not asked since the record changed
    aside      why this machine takes no part in the rollout: another machine may have its name
    """

    node: str
    at: datetime
    rollout: Rollout
    fallback: int | None = None
    others: int | None = 0
    denied: str | None = None
    aside: str | None = None

    @property
    def slot(self) -> Slot | None:
        """This node's slot; None when it has none or when the slot has expired."""
        held = self.rollout.slot(self.node)
        return held if held is not None and held.until > self.at else None


@dataclass(frozen=True, slots=True)
class Observation:
    """What a node observes. Numbers are release numbers.

    cluster          what the store says; None when the store has not answered
    offered          releases of the ledger whose manifests are at hand, so that they can be staged
    current          the release that the symbolic link `current` points to
    staged           releases that are complete and undamaged on disk
    rehearsed        releases that passed the rehearsal in this process
    without_reload   releases that can be served without touching a worker process
    conducting       whether this process began the probation in the node state
    running          whether the web server runs
    workers          the worker processes of the web server now
    ready_workers    the workers that have answered as the live release does
    readiness        the readiness of the release in probation; None before the first probe
    refused          why the web server did not accept the release in probation, when it has said so
    left             the time left of a probation that this process conducts, by a monotonic clock
    health_left      the time left in which the release must become healthy: `health timeout`, from readiness on
    asked_late       whether the workers were probed, or the health checks made, once after `left` had run out
    checked_late     whether the health checks were made once after `health_left` had run out
    healthy_for      how long all health checks of the release in probation have passed
    failing_check    the health check that fails
    draining         whether the loader's URL tells the load balancer to send no requests
    drained          whether no request is being answered, or the time to drain is up
    looked           whether this process has read the record since it drained
    begun            the release in whose slot this process may switch, while the probation is sure to end within the
                     slot
    unhealthy        why this node itself is unhealthy
    well             the live release, when its health checks passed in the last check of this process
    min_healthy      how long the health checks must pass before the probation is committed
    """

    now: datetime
    offered: tuple[int, ...]
    current: int | None
    node_state: NodeState
    cluster: Cluster | None = None
    staged: frozenset[int] = frozenset()
    rehearsed: frozenset[int] = frozenset()
    without_reload: frozenset[int] = frozenset()
    conducting: bool = False
    running: bool = False
    workers: frozenset[Worker] = frozenset()
    ready_workers: frozenset[Worker] = frozenset()
    readiness: Readiness | None = None
    refused: str | None = None
    left: timedelta = timedelta()
    health_left: timedelta = timedelta()
    asked_late: bool = False
    checked_late: bool = False
    healthy_for: timedelta | None = None
    failing_check: str | None = None
    draining: bool = False
    drained: bool = False
    looked: bool = False
    begun: int | None = None
    unhealthy: str | None = None
    well: int | None = None
    min_healthy: timedelta = timedelta()

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


RETRY_REJECTED = timedelta(seconds=60)
"""After this time a node retries a release that it rejected because of the store. A node that has never served anything
retries every release: its database may be there by now."""

RETRY_STABLE = timedelta(minutes=5)
"""After this time a node retries a release that it rejected and that is stable on others: the release was not the
cause."""


def wanted(seen: Observation) -> int | None:
    """The release that this node should serve; None: no release. Without an answer from the store: the current one.

    That is the newest release, unless it is quarantined or rejected by this node. A node that does not serve, and has
    nothing as new on its disk, starts on the stable release. A node that must leave a quarantined release goes back to
    the newest stable one. A release that this node rejected is not wanted before its retry is due.
    """
    here = _unless_rejected(seen, seen.current if seen.current is not None else seen.node_state.live)
    if seen.cluster is None:
        return here
    rollout, back = seen.cluster.rollout, _way_back(seen, seen.cluster)
    head = _unless_rejected(seen, rollout.release)
    if rollout.state is State.QUARANTINED:
        return back if back is not None else here
    if back is not None and escapes(seen, back) and (rollout.state is State.OPEN or head is None):
        return back
    if head is None:
        return here if here is not None else back
    if seen.running or rollout.state is not State.OPEN or back is None:
        return head
    return back if seen.current is None or seen.current < back else head


def _way_back(seen: Observation, cluster: Cluster) -> int | None:
    """The release to go to instead of the newest; None when the ledger has a record of it but nothing to stage."""
    at_hand = cluster.fallback in seen.staged or cluster.fallback in seen.offered
    return _unless_rejected(seen, cluster.fallback) if at_hand else None


def _unless_rejected(seen: Observation, number: int | None) -> int | None:
    return None if number is None or _is_rejected(seen, number) else number


def rejected(seen: Observation) -> frozenset[int]:
    """The releases that this node rejected and whose retry is not due."""
    return frozenset(each.release for each in seen.node_state.rejected if _is_rejected(seen, each.release))


def skipped(seen: Observation) -> frozenset[int]:
    """The releases that are no way back for this node: those it rejected, while it has nothing good to serve."""
    return rejected(seen) if seen.node_state.live is None or is_on_bad(seen) else frozenset()


def decide(seen: Observation) -> Action:
    """The next action of the node."""
    if seen.node_state.probation is not None:
        return _in_probation(seen)
    return _complaint(seen) or _go_on(seen)


def _go_on(seen: Observation) -> Action:
    target = wanted(seen)
    if target is None:
        return _stay(seen)
    if target not in seen.staged:
        # Without an offer there is nothing to stage the release from, and a damaged release is better than none. A
        # release is not staged again under the processes that serve it.
        able = (
            target in seen.offered and not _is_rejected(seen, target) and not (target == seen.current and seen.running)
        )
        return Stage(target) if able else _stay(seen)
    if seen.current == target and (seen.node_state.live == target or _is_rejected(seen, target)):
        return _stay(seen)
    if _starts_first(seen, target):
        return Start()
    if target not in seen.rehearsed and not escapes(seen, target):
        return Rehearse(target)
    return _move(seen, target)


# ---- from one release to another ------------------------------------------------------------------------------


def _move(seen: Observation, target: int) -> Action:
    """The next step between a rehearsed release and the switch to it."""
    cluster = seen.cluster
    if cluster is None or _is_free(seen, cluster, target):
        return Switch(target)
    if cluster.denied is not None or cluster.aside is not None:
        return _stay(seen)
    # When no other node serves, telling the load balancer to stay away would be an outage.
    alone = not seen.running or not cluster.others or target in seen.without_reload
    drained = alone or (seen.draining and seen.drained)
    release_command = target == cluster.rollout.release and cluster.rollout.release_command_is_due
    if not _has_slot(seen, cluster, target, release_command=release_command):
        # A claim may take longer than the slot lasts, so a node does not claim while it drains.
        return Undrain() if seen.draining else Claim(target, joining=not seen.running)
    if release_command:
        return Undrain() if seen.draining else RunReleaseCommand(target)
    if not drained:
        return Drain()
    return Look() if seen.draining and not seen.looked else Switch(target)


def _has_slot(seen: Observation, cluster: Cluster, target: int, *, release_command: bool) -> bool:
    """Whether this node has a slot that is good for the next step. If not, the node claims or renews one."""
    slot = cluster.slot
    if slot is None or slot.release != target or slot.joining is seen.running:
        return False
    # A new claim says why the rollout is stopped.
    if is_stopped(cluster.rollout, joining=slot.joining):
        return False
    return slot.until > cluster.at + SLACK and (release_command or seen.begun == target)


def _is_free(seen: Observation, cluster: Cluster, target: int) -> bool:
    """Whether this node needs no slot: it leaves a quarantined release, or goes from nothing to a stable release."""
    return escapes(seen, target) or (not seen.running and not _is_open_head(cluster, target))


def _is_open_head(cluster: Cluster, target: int) -> bool:
    return target == cluster.rollout.release and cluster.rollout.state is State.OPEN


def escapes(seen: Observation, target: int) -> bool:
    """Whether this node must leave a quarantined release at once, for one that has been stable.

    True as well after an interruption on that way, when the switch was already made.
    """
    cluster = seen.cluster
    if cluster is None or _is_open_head(cluster, target):
        return False
    return is_bad(cluster.rollout, seen.node_state.live if seen.current == target else seen.current)


def way_out(seen: Observation) -> int | None:
    """The release to go back to when the probation fails; None: none.

    Never a quarantined release, unless there is nothing else.
    """
    probation, cluster = seen.node_state.probation, seen.cluster
    assert probation is not None
    if cluster is None or probation.before is None or not is_bad(cluster.rollout, probation.before):
        return probation.before
    if cluster.fallback == probation.release:
        return None
    return cluster.fallback if cluster.fallback in seen.staged else probation.before


def is_on_bad(seen: Observation) -> bool:
    """Whether a release that this node could start without asking the store is quarantined."""
    probation, cluster = seen.node_state.probation, seen.cluster
    here = (seen.current, seen.node_state.live, probation.before if probation is not None else None)
    return cluster is not None and any(is_bad(cluster.rollout, each) for each in here if each is not None)


def _starts_first(seen: Observation, target: int) -> bool:
    """Whether to serve the current release while this node waits for its slot.

    Not on the way to a stable release, which needs no slot. A quarantined release is never started.
    """
    cluster = seen.cluster
    if cluster is None or seen.running or seen.current is None or seen.current not in seen.staged:
        return False
    return not is_bad(cluster.rollout, seen.current) and not _is_free(seen, cluster, target)


def _is_rejected(seen: Observation, number: int) -> bool:
    failure = seen.node_state.rejection(number)
    if failure is None:
        return False
    age, cluster = seen.now - failure.at, seen.cluster
    if age < timedelta():
        # The rejection was written under a clock that was ahead, and the wait until then could be very long.
        return False
    if not failure.lasting or seen.node_state.live is None or escapes(seen, number):
        return age < RETRY_REJECTED
    if cluster is None:
        return True
    if number == cluster.rollout.release and cluster.rollout.state is not State.STABLE:
        return len(cluster.rollout.retries) <= failure.retries
    return age < RETRY_STABLE


# ---- in a probation -----------------------------------------------------------------------------------------------


def _in_probation(seen: Observation) -> Action:
    probation = seen.node_state.probation
    assert probation is not None
    if not seen.conducting:
        return Recover()
    if seen.refused is not None:
        return Revert(seen.refused)
    if seen.readiness is not None:
        if seen.readiness.broken is not None:
            return Revert(str(seen.readiness))
        if seen.readiness.holds:
            return _checked(seen, probation.release)
    if _is_over(seen):
        return Revert(f"not ready in time: {seen.readiness or 'the web server did not answer'}")
    return Probe(probation.release) if seen.running else Start()


def _is_over(seen: Observation) -> bool:
    """True once the deadline has passed and one probe was made after it; a suspended machine must not fail the
    release."""
    return seen.left <= timedelta() and seen.asked_late


def _is_checked(seen: Observation) -> bool:
    """True once the health deadline has passed and the health checks were made once after it."""
    return seen.health_left <= timedelta() and seen.checked_late


def _checked(seen: Observation, release: int) -> Action:
    """The next step when every process serves the release: the release must now be healthy for `min_healthy`.

    A release that is healthy at its deadline is still watched for the short rest of `min_healthy`.
    """
    if seen.healthy_for is not None and seen.healthy_for >= seen.min_healthy:
        return Commit()
    able = bool(seen.workers) and seen.workers <= seen.ready_workers
    if seen.healthy_for is None and (_is_checked(seen) if able else _is_over(seen)):
        return Revert(seen.failing_check or "not healthy in time")
    if able:
        return Check(release)
    # A worker process died, and another one replaced it.
    return Probe(release) if seen.running else Start()


# ---- staying where it is --------------------------------------------------------------------------------------


def _stay(seen: Observation) -> Action:
    """Serve the current release without draining; then write what is missing in the rollout record."""
    if seen.draining:
        return Undrain()
    kept = _keep_serving(seen)
    return _tell(seen, seen.cluster) if isinstance(kept, Idle) and seen.cluster is not None else kept


def _keep_serving(seen: Observation) -> Action:
    if seen.current is None:
        return Idle()
    if not seen.running:
        return Start()
    if not seen.workers or not seen.workers <= seen.ready_workers:
        return Probe(seen.current)
    return Idle() if seen.node_state.live == seen.current else Accept(seen.current)


def _tell(seen: Observation, cluster: Cluster) -> Action:
    """What this node has yet to write into the record of the newest release."""
    rollout, node, node_state = cluster.rollout, cluster.node, seen.node_state
    if cluster.aside is not None:
        # The entries under this name, its slot too, belong to another machine.
        return Idle(cluster.aside)
    if rollout.closed:
        return Idle(cluster.denied)
    if seen.current == rollout.release == node_state.live and rollout.state is not State.QUARANTINED:
        if node not in rollout.updated:
            return TellUpdated()
    elif (told := _fault(seen, cluster)) is not None:
        return told
    held = rollout.slot(node)
    if held is not None and (cluster.slot is None or _is_useless(seen, held, rollout)):
        # An expired slot is given back, too: a node that reports back is not lost. Nor is one that waits for the end of
        # a pause.
        return GiveBack()
    due = cluster.denied is None and review_is_due(rollout, node, now=cluster.at)
    return Review() if due else Idle(cluster.denied)


def _is_useless(seen: Observation, slot: Slot, rollout: Rollout) -> bool:
    stopped = is_stopped(rollout, joining=slot.joining)
    return stopped or slot.release == seen.current or is_bad(rollout, slot.release) or _is_rejected(seen, slot.release)


def _fault(seen: Observation, cluster: Cluster) -> Action | None:
    """The action that reports why this node rejected the newest release; None when there is nothing new to report.

    A node that has never served anything says nothing about the release, as its database may be away: it reports itself
    unhealthy. A node checks its health on the old release before it reports a failure: if it is unhealthy there too,
    the release is not the cause.
    """
    rollout, node = cluster.rollout, cluster.node
    failure = seen.node_state.rejection(rollout.release)
    if failure is None or not failure.lasting or rollout.state is not State.OPEN:
        return None
    if failure.retries < len(rollout.retries):
        return None
    if seen.node_state.live is None:
        return None if is_excused(cluster) else TellUnhealthy(failure.reason)
    if rollout.failure(node) is not None:
        return None
    if seen.current is not None and seen.well != seen.current:
        return Check(seen.current)
    return TellFailed(failure.reason)


def _complaint(seen: Observation) -> Action | None:
    """The action that reports this node as unhealthy, so that the others need not wait for it; None when there is
    none."""
    if seen.unhealthy is None or seen.cluster is None:
        return None
    return None if is_excused(seen.cluster) else TellUnhealthy(seen.unhealthy)


def is_excused(cluster: Cluster) -> bool:
    """Whether no other node waits for this one: it is updated, it has reported itself unhealthy, or the rollout has
    ended.

    True for a machine that takes no part, too: the record says nothing about it.
    """
    if cluster.aside is not None:
        return True
    rollout, node = cluster.rollout, cluster.node
    known = node in rollout.updated or any(note.by == node for note in rollout.unhealthy)
    over = rollout.closed or rollout.state is not State.OPEN
    return (known or over) and cluster.slot is None
