"""What a node has yet to write into the rollout record, for the other nodes."""

from da_agent.domain.node.actions import (
    Action,
    Check,
    GiveBack,
    Idle,
    Review,
    TellFailed,
    TellUnhealthy,
    TellUpdated,
)
from da_agent.domain.node.observations import Cluster, Observation
from da_agent.domain.node.targets import is_rejected
from da_agent.domain.rollout.rollouts import Rollout, Slot, State, is_bad
from da_agent.domain.rollout.slots import is_stopped
from da_agent.domain.rollout.verdicts import review_is_due


def missing_entry(seen: Observation, cluster: Cluster) -> Action:
    """The action that writes what is missing in the record of the newest release; Idle when nothing is."""
    rollout, node = cluster.rollout, cluster.node
    if cluster.excluded is not None:
        # The entries under this name, its slot too, belong to another machine.
        return Idle(cluster.excluded)
    if rollout.closed:
        return Idle(cluster.denied)
    if (outcome := _outcome(seen, cluster)) is not None:
        return outcome
    held = rollout.slot(node)
    if held is not None and (cluster.slot is None or _is_useless(seen, held, rollout)):
        # An expired slot is given back, too: a node that reports back is not lost. Nor is one that waits for the end of
        # a pause.
        return GiveBack()
    due = cluster.denied is None and review_is_due(rollout, node, now=cluster.at)
    return Review() if due else Idle(cluster.denied)


def unhealthy_entry(seen: Observation) -> Action | None:
    """The action that reports this node as unhealthy, so that the others need not wait for it; None when there is
    none."""
    if seen.health.unhealthy is None or seen.cluster is None:
        return None
    return None if is_excused(seen.cluster) else TellUnhealthy(seen.health.unhealthy)


def is_excused(cluster: Cluster) -> bool:
    """Whether no other node waits for this one: it is updated, it has reported itself unhealthy, or the rollout has
    ended.

    True for a machine that takes no part, too: the record says nothing about it.
    """
    if cluster.excluded is not None:
        return True
    rollout, node = cluster.rollout, cluster.node
    known = node in rollout.updated or any(note.by == node for note in rollout.unhealthy)
    over = rollout.closed or rollout.state is not State.OPEN
    return (known or over) and cluster.slot is None


def _outcome(seen: Observation, cluster: Cluster) -> Action | None:
    """The action that reports what has become of the newest release here; None when the record has it."""
    rollout = cluster.rollout
    serves = seen.releases.current == rollout.release == seen.node_state.live
    if serves and rollout.state is not State.QUARANTINED:
        return None if cluster.node in rollout.updated else TellUpdated()
    return _failure(seen, cluster)


def _failure(seen: Observation, cluster: Cluster) -> Action | None:
    """The action that reports why this node rejected the newest release; None when there is nothing new to report.

    A node that has never served anything says nothing about the release, as its database may be away: it reports itself
    unhealthy. A node checks its health on the old release before it reports a failure: if it is unhealthy there too,
    the release is not the cause.
    """
    rollout, current = cluster.rollout, seen.releases.current
    failure = seen.node_state.rejection(rollout.release)
    if failure is None or not failure.lasting or rollout.state is not State.OPEN:
        return None
    if failure.retries < len(rollout.retries):
        return None
    if seen.node_state.live is None:
        return None if is_excused(cluster) else TellUnhealthy(failure.reason)
    if rollout.failure(cluster.node) is not None:
        return None
    if current is not None and seen.health.healthy_on != current:
        return Check(current)
    return TellFailed(failure.reason)


def _is_useless(seen: Observation, slot: Slot, rollout: Rollout) -> bool:
    is_over = slot.release == seen.releases.current or is_bad(rollout, slot.release)
    return is_stopped(rollout, joining=slot.joining) or is_over or is_rejected(seen, slot.release)
