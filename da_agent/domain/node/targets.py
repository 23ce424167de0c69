"""Which release this node should serve, which one it goes back to, and which ones it rejects."""

from datetime import timedelta

from da_agent.domain.node.observations import Cluster, Observation
from da_agent.domain.rollout.rollouts import State, is_bad

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
    current = seen.releases.current
    here = _unless_rejected(seen, current if current is not None else seen.node_state.live)
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
    if seen.web.running or rollout.state is not State.OPEN or back is None:
        return head
    return back if current is None or current < back else head


def _way_back(seen: Observation, cluster: Cluster) -> int | None:
    """The release to go to instead of the newest; None when the ledger has a record of it but nothing to stage."""
    at_hand = cluster.fallback in seen.releases.staged or cluster.fallback in seen.releases.offered
    return _unless_rejected(seen, cluster.fallback) if at_hand else None


def revert_target(seen: Observation) -> int | None:
    """The release to go back to when the probation fails; None: none.

    Never a quarantined release, unless there is nothing else.
    """
    probation, cluster = seen.node_state.probation, seen.cluster
    assert probation is not None
    if cluster is None or probation.before is None or not is_bad(cluster.rollout, probation.before):
        return probation.before
    if cluster.fallback == probation.release:
        return None
    return cluster.fallback if cluster.fallback in seen.releases.staged else probation.before


# ---- quarantined releases


def escapes(seen: Observation, target: int) -> bool:
    """Whether this node must leave a quarantined release at once, for one that has been stable.

    True as well after an interruption on that way, when the switch was already made.
    """
    cluster, current = seen.cluster, seen.releases.current
    if cluster is None or is_open_head(cluster, target):
        return False
    return is_bad(cluster.rollout, seen.node_state.live if current == target else current)


def is_open_head(cluster: Cluster, target: int) -> bool:
    """Whether `target` is the newest release, and has no verdict yet."""
    return target == cluster.rollout.release and cluster.rollout.state is State.OPEN


def is_on_bad(seen: Observation) -> bool:
    """Whether a release that this node could start without asking the store is quarantined."""
    probation, cluster = seen.node_state.probation, seen.cluster
    here = (seen.releases.current, seen.node_state.live, probation.before if probation is not None else None)
    return cluster is not None and any(is_bad(cluster.rollout, each) for each in here if each is not None)


# ---- releases that this node rejected


def rejected(seen: Observation) -> frozenset[int]:
    """The releases that this node rejected and whose retry is not due."""
    return frozenset(each.release for each in seen.node_state.rejected if is_rejected(seen, each.release))


def skipped(seen: Observation) -> frozenset[int]:
    """The releases that are no way back for this node: those it rejected, while it has nothing good to serve."""
    return rejected(seen) if seen.node_state.live is None or is_on_bad(seen) else frozenset()


def is_rejected(seen: Observation, number: int) -> bool:
    """Whether this node rejected release `number`, and its retry is not due."""
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


def _unless_rejected(seen: Observation, number: int | None) -> int | None:
    return None if number is None or is_rejected(seen, number) else number
