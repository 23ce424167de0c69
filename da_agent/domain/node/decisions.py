"""What a node does next, as a function of what it sees.

The loop observes, asks `decide`, does the one action and begins again; nothing else remembers where it was. So the
process may be cut between any two effects: the next observation finds whatever was done, and goes on from there.

Order of things for a node that is behind: stage, rehearse, claim a turn, drain, look at the record again, switch
(which begins the probation), prove, check, then settle or revert, and tell the others. The probation is in the node
state before
the switch; whoever finds a probation that it did not begin itself takes it back.
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

    rollout     the record of the newest release;  fallback: where to go when that one is quarantined or not stable
    at          the store's clock;  node: this node's name;  others: how many other nodes are alive; None: not listed
    denied      why this node got no turn when it last asked; None when it has not asked since the record has changed
    aside       why this machine takes no part in the rollout: another one may have its name
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
        """This node's own, while it lasts."""
        held = self.rollout.slot(self.node)
        return held if held is not None and held.until > self.at else None


@dataclass(frozen=True, slots=True)
class Observation:
    """What a node sees. Numbers are those of releases.

    cluster      what the store says; None when it has not answered
    offered      releases of the ledger whose manifests are at hand, so that they could be staged
    current      where the switch points
    staged       complete on disk and not damaged;  rehearsed: found good by this process
    harmless     releases that could be served without touching a worker process
    conducting   whether this process began the probation in the node state itself
    running      whether the web server runs;  workers: its worker processes now
    stable       those of them that have answered as the live release does
    proof        the state of the proof of the probation's release, None before the first question
    refused      why the web server did not take the probation's release, when it has said so
    left         of the time of a probation that this process conducts; nobody can set the clock that it is measured
    with
    health_left  of the time in which the release must become healthy: `health timeout`, from the proof on
    asked_late   whether its processes, or its health, were asked once more after that;  checked_late: its health,
                 after its own time
    healthy_for  how long all health checks of the probation's release have held;  unhealthy: which one does not
    draining     whether the loader's URL says that nobody should come;  drained: nobody is being served, or time is up
    looked       whether this process has read the record since it has drained
    begun        the release in whose turn this process may switch, for as long as that is sure to end well within it
    sick         why this node is at fault itself
    well         the live release, when its health checks have held since this process looked last
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
        """How many release `number` has. In its probation, as many as it had when that began: the store may be away
        when a
        probation ends, and a failure that seems older than it is would be tried again."""
        probation = self.node_state.probation
        if probation is not None and probation.release == number:
            return probation.retries
        rollout = self.cluster.rollout if self.cluster is not None else None
        return len(rollout.retries) if rollout is not None and rollout.release == number else 0


RETRY_REJECTED = timedelta(seconds=60)
"""After this a node takes up again what it gave up because of the store, and if it has never served anything,
everything: its database may have come."""

RETRY_STABLE = timedelta(minutes=5)
"""After this a node takes up again what it gave up and others have stable: it was not the release's fault."""


def wanted(seen: Observation) -> int | None:
    """The release that this node should serve; without an answer from the store, the one that is there.

    The newest release, unless it is quarantined or was given up here. A node that serves nobody, and has nothing as new
    on its disk, starts on what is stable. Whoever must leave a quarantined release goes back to the newest stable one.
    A release that this node has rejected is never wanted before its time; None: no release is.
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
    """The release to go to instead of the newest; None where only a record of it is there, and nothing to stage."""
    at_hand = cluster.fallback in seen.staged or cluster.fallback in seen.offered
    return _unless_rejected(seen, cluster.fallback) if at_hand else None


def _unless_rejected(seen: Observation, number: int | None) -> int | None:
    return None if number is None or _is_rejected(seen, number) else number


def rejected(seen: Observation) -> frozenset[int]:
    """The releases that this node takes up again only after their time."""
    return frozenset(each.release for each in seen.node_state.rejected if _is_rejected(seen, each.release))


def skipped(seen: Observation) -> frozenset[int]:
    """The releases that are no way back for this node: what it has rejected, while it has nothing good to serve."""
    return rejected(seen) if seen.node_state.live is None or is_on_bad(seen) else frozenset()


def decide(seen: Observation) -> Action:
    if seen.node_state.probation is not None:
        return _in_probation(seen)
    return _complaint(seen) or _go_on(seen)


def _go_on(seen: Observation) -> Action:
    target = wanted(seen)
    if target is None:
        return _stay(seen)
    if target not in seen.staged:
        # Without an offer there is nothing to stage it from: a damaged release is better served than none.
        # Nor is it staged anew under processes that are serving it.
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
    """What stands between a rehearsed release and the switch to it."""
    cluster = seen.cluster
    if cluster is None or _is_free(seen, cluster, target):
        return Switch(target)
    if cluster.denied is not None or cluster.aside is not None:
        return _stay(seen)
    # With nobody else there to serve, saying that one should not come would be an outage.
    alone = not seen.running or not cluster.others or target in seen.without_reload
    drained = alone or (seen.draining and seen.drained)
    release_command = target == cluster.rollout.release and cluster.rollout.release_command_is_due
    if not _has_slot(seen, cluster, target, release_command=release_command):
        # Nobody asks while it drains: an answer may take longer than the turn lasts.
        return Undrain() if seen.draining else Claim(target, joining=not seen.running)
    if release_command:
        return Undrain() if seen.draining else RunReleaseCommand(target)
    if not drained:
        return Drain()
    return Look() if seen.draining and not seen.looked else Switch(target)


def _has_slot(seen: Observation, cluster: Cluster, target: int, *, release_command: bool) -> bool:
    """Whether it has one that is good for what comes next; or else it claims one, or makes its own last longer."""
    slot = cluster.slot
    if slot is None or slot.release != target or slot.joining is seen.running:
        return False
    # Whoever asks is told why.
    if is_stopped(cluster.rollout, joining=slot.joining):
        return False
    return slot.until > cluster.at + SLACK and (release_command or seen.begun == target)


def _is_free(seen: Observation, cluster: Cluster, target: int) -> bool:
    """Whether this node needs no turn: away from what is quarantined, or from nothing to what is stable."""
    return escapes(seen, target) or (not seen.running and not _is_open_head(cluster, target))


def _is_open_head(cluster: Cluster, target: int) -> bool:
    return target == cluster.rollout.release and cluster.rollout.state is State.OPEN


def escapes(seen: Observation, target: int) -> bool:
    """Whether what is there is quarantined: away from it at once, to what has been stable already. So does whoever was
    interrupted on that way, behind the switch."""
    cluster = seen.cluster
    if cluster is None or _is_open_head(cluster, target):
        return False
    return is_bad(cluster.rollout, seen.node_state.live if seen.current == target else seen.current)


def way_out(seen: Observation) -> int | None:
    """Where a probation leads that does not end well; None: nowhere. Never to what is quarantined, unless there is
    nothing
    else."""
    probation, cluster = seen.node_state.probation, seen.cluster
    assert probation is not None
    if cluster is None or probation.before is None or not is_bad(cluster.rollout, probation.before):
        return probation.before
    if cluster.fallback == probation.release:
        return None
    return cluster.fallback if cluster.fallback in seen.staged else probation.before


def is_on_bad(seen: Observation) -> bool:
    """Whether anything that this node could start without asking the store is quarantined."""
    probation, cluster = seen.node_state.probation, seen.cluster
    here = (seen.current, seen.node_state.live, probation.before if probation is not None else None)
    return cluster is not None and any(is_bad(cluster.rollout, each) for each in here if each is not None)


def _starts_first(seen: Observation, target: int) -> bool:
    """Whether what is there should be served while this node waits for its turn; on its way to what is stable it need
    not, and what is quarantined is never started."""
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
        # It was noted under a clock that went ahead: nobody waits until then.
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
    """Whether the release had its time, and was asked once more: a machine that stood still meanwhile is no witness."""
    return seen.left <= timedelta() and seen.asked_late


def _is_checked(seen: Observation) -> bool:
    """Whether the health checks had their time, and were made once more after it."""
    return seen.health_left <= timedelta() and seen.checked_late


def _checked(seen: Observation, release: int) -> Action:
    """Every process serves it: now it must be well for some time. What is well when its time is over is watched to the
    end of that, which is little."""
    if seen.healthy_for is not None and seen.healthy_for >= seen.min_healthy:
        return Commit()
    able = bool(seen.workers) and seen.workers <= seen.ready_workers
    if seen.healthy_for is None and (_is_checked(seen) if able else _is_over(seen)):
        return Revert(seen.failing_check or "not healthy in time")
    if able:
        return Check(release)
    # A process has died meanwhile, and another has taken its place.
    return Probe(release) if seen.running else Start()


# ---- staying where it is --------------------------------------------------------------------------------------


def _stay(seen: Observation) -> Action:
    """Serve what is there, as everybody may come again; then tell the others what they wait for."""
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
    """What the record of the newest release should have from this node, and has not yet."""
    rollout, node, node_state = cluster.rollout, cluster.node, seen.node_state
    if cluster.aside is not None:
        # What the record has under this name is another machine's, its slot as well.
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
        # One that is over, too: whoever has come back is not lost. Nor is whoever waits for the end of a pause.
        return GiveBack()
    due = cluster.denied is None and review_is_due(rollout, node, now=cluster.at)
    return Review() if due else Idle(cluster.denied)


def _is_useless(seen: Observation, slot: Slot, rollout: Rollout) -> bool:
    stopped = is_stopped(rollout, joining=slot.joining)
    return stopped or slot.release == seen.current or is_bad(rollout, slot.release) or _is_rejected(seen, slot.release)


def _fault(seen: Observation, cluster: Cluster) -> Action | None:
    """What the others do not know yet of why this node has given up the newest release.

    One that has never served anything is no witness: its database may be away. It is at fault itself. Nor is one that
    is not well on the old release: it is asked for its health there before it says anything.
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
    """This node is at fault itself: the others need not wait for it."""
    if seen.unhealthy is None or seen.cluster is None:
        return None
    return None if is_excused(seen.cluster) else TellUnhealthy(seen.unhealthy)


def is_excused(cluster: Cluster) -> bool:
    """Whether nobody waits for this node: it has moved, has said that it is at fault, or all is over. Nor does the
    record say anything of a machine that takes no part."""
    if cluster.aside is not None:
        return True
    rollout, node = cluster.rollout, cluster.node
    known = node in rollout.updated or any(note.by == node for note in rollout.unhealthy)
    over = rollout.closed or rollout.state is not State.OPEN
    return (known or over) and cluster.slot is None
