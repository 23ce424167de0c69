"""The next action of a node: a function of its observation, and of nothing else.

The loop observes, calls `decide`, does that one action and begins again. What the process remembers between two actions
is part of the observation. So the process may die between any two effects: the next process begins with an empty
memory, observes what was done, and goes on from there.

A node that is behind stages, rehearses, claims a slot, drains and reads the record again. Then it switches, probes,
checks, and commits or reverts; last, it writes the result into the record. The switch begins the probation. The
probation is written to the node state before the switch. A process that finds a probation it did not begin takes it
back.
"""

from da_agent.domain.node.actions import Action, Check, Probe, Rehearse, Stage, Start
from da_agent.domain.node.moves import is_free, move
from da_agent.domain.node.node_states import NodeState
from da_agent.domain.node.observations import Observation
from da_agent.domain.node.probations import in_probation
from da_agent.domain.node.record_entries import unhealthy_entry
from da_agent.domain.node.stays import stay
from da_agent.domain.node.targets import escapes, is_rejected, wanted
from da_agent.domain.rollout.rollouts import is_bad

MOST_ACTIONS = 100
"""How many actions a node does before it reads the store again. WAITS do not count: they end with their probation."""

WAITS = (Probe, Check)
"""Actions that are repeated until their time is over."""


def decide(seen: Observation) -> Action:
    """The next action of the node."""
    if seen.node_state.probation is not None:
        return in_probation(seen, seen.node_state.probation)
    return unhealthy_entry(seen) or _go_on(seen)


def _go_on(seen: Observation) -> Action:
    target, current = wanted(seen), seen.releases.current
    if target is None:
        return stay(seen)
    if target not in seen.releases.staged:
        return Stage(target) if _is_able_to_stage(seen, target) else stay(seen)
    if current == target and (seen.node_state.live == target or is_rejected(seen, target)):
        return stay(seen)
    if _starts_first(seen, target):
        return Start()
    if target not in seen.preparations.rehearsed and not escapes(seen, target):
        return Rehearse(target)
    return move(seen, target)


def _is_able_to_stage(seen: Observation, target: int) -> bool:
    """Whether the target can be staged. Without an offer there is nothing to stage it from, and a damaged release is
    better than none. A release is not staged again under the processes that serve it."""
    is_served = target == seen.releases.current and seen.web.running
    return target in seen.releases.offered and not is_rejected(seen, target) and not is_served


def _starts_first(seen: Observation, target: int) -> bool:
    """Whether to serve the current release while this node waits for its slot.

    Not on the way to a stable release, which needs no slot. A quarantined release is never started.
    """
    cluster, current = seen.cluster, seen.releases.current
    if cluster is None or seen.web.running or current is None or current not in seen.releases.staged:
        return False
    return not is_bad(cluster.rollout, current) and not is_free(seen, cluster, target)


def reason_to_read_store(before: NodeState, after: NodeState, acted: int) -> str | None:
    """Why the store must be read again before the next action; None: the node goes on. A probation always continues to
    its end.

    `before` and `after` are the node states around the last action; `acted` is the number of actions done so far.
    """
    if after.probation is not None:
        return None
    new = next((each for each in after.rejected if each not in before.rejected), None)
    if new is not None and after.live is None:
        return f"this node rejected release {new.release}; looking for another release"
    return f"not idle after {acted} actions; reading the store again" if acted >= MOST_ACTIONS else None
