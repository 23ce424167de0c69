"""What became of the nodes that went to a release, and the verdict of the cluster."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

from da_agent.domain import limits, texts
from da_agent.domain.rollout.rollouts import PATIENCE, NodeFailure, Note, Rollout, State

UNHEALTHY_PATIENCE = timedelta(seconds=60)
"""How long a node is unhealthy before the others stop waiting for it: it has tried again meanwhile."""


def updated(
    rollout: Rollout, node: str, live: Collection[str], *, now: datetime, heard: Collection[str] | None = None
) -> Rollout:
    """The record after the node has shown that it serves the release: its slot is over and its earlier failures are
    removed.

    Here and below, `live` are the nodes that may be alive. `heard` are those of them that have reported lately, where
    that is not the same.
    """
    names = rollout.updated if node in rollout.updated else (*rollout.updated, node)
    return judged(replace(_cleared(rollout, node), updated=names, changed_at=now), live, now=now, heard=heard)


def failed(
    rollout: Rollout,
    node: str,
    reason: str,
    log: tuple[str, ...],
    live: Collection[str],
    *,
    now: datetime,
    heard: Collection[str] | None = None,
) -> Rollout:
    """The record after the node failed on this release while it is healthy on another one: the release failed, not the
    node."""
    failure = NodeFailure(node, texts.reason(reason), now, texts.log(log))
    cleared = _cleared(rollout, node)
    names = tuple(each for each in rollout.updated if each != node)
    changed = replace(
        cleared, updated=names, failures=(*_with_logs(cleared.failures, limits.LOGS - 1), failure), changed_at=now
    )
    return judged(changed, live, now=now, heard=heard)


def reported_unhealthy(
    rollout: Rollout,
    node: str,
    reason: str,
    live: Collection[str],
    *,
    now: datetime,
    heard: Collection[str] | None = None,
) -> Rollout:
    """The record after the node reported that it is healthy on no release: the node is the cause, and the others go on.

    A node that has reported this before counts as unhealthy since then.
    """
    since = next((note.at for note in rollout.unhealthy if note.by == node), now)
    cleared = _cleared(rollout, node)
    changed = replace(cleared, unhealthy=(*cleared.unhealthy, Note(node, since, texts.reason(reason))), changed_at=now)
    return judged(changed, live, now=now, heard=heard)


def _cleared(rollout: Rollout, node: str) -> Rollout:
    return replace(
        rollout,
        slots=rollout.slots_without(node),
        failures=tuple(failure for failure in rollout.failures if failure.node != node),
        unhealthy=tuple(note for note in rollout.unhealthy if note.by != node),
        release_command=rollout.release_command_without(node),
    )


def judged(rollout: Rollout, live: Collection[str], *, now: datetime, heard: Collection[str] | None = None) -> Rollout:
    """The record with the verdict, when there can be one."""
    if rollout.closed or rollout.state is not State.OPEN:
        return rollout
    there = frozenset(live if heard is None else heard)
    state = _verdict(rollout, frozenset(live), there)
    if state is None:
        return rollout
    reason = (
        _reasons(rollout)
        if state is State.QUARANTINED
        else f"{len(there.intersection(rollout.updated))} nodes serve it"
    )
    return replace(rollout, state=state, verdict=Note("the cluster", now, reason))


def _verdict(rollout: Rollout, live: frozenset[str], heard: frozenset[str]) -> State | None:
    """The verdict: too many nodes failed, or each live node is updated, failed or unhealthy. None: not yet.

    Only nodes that serve the release and have reported lately speak for it: what dead nodes served shows nothing. A
    release that more nodes failed on than serve is bad, whatever `max failures` says: a stable release is what others
    go back to.

    When some nodes failed and all others are unhealthy, no node is left that could speak for the release: it is
    quarantined. Unhealthy nodes alone say nothing about it: they go on by themselves once an admin has repaired them.
    """
    failed_nodes = {failure.node for failure in rollout.failures}
    shown = sum(1 for failure in rollout.failures if not failure.lost)
    allowed = rollout.strategy.max_failures
    # One machine may be switched off at any time, whatever is allowed, but not one after the other.
    if shown > allowed or len(failed_nodes) > max(allowed, 1):
        return State.QUARANTINED
    if not live <= {*rollout.updated, *failed_nodes, *rollout.unhealthy_nodes}:
        return None
    serving, silent = heard.intersection(rollout.updated), live.intersection(rollout.updated) - heard
    against = sum(1 for failure in rollout.failures if not failure.lost and failure.node in live)
    if serving and against <= len(serving):
        return State.STABLE
    if silent:
        # The silent nodes may be healthy and speak for the release; a node that is sure of the live nodes looks again.
        return None
    return State.QUARANTINED if shown or (failed_nodes and live <= failed_nodes) else None


def _with_logs(failures: tuple[NodeFailure, ...], most: int) -> tuple[NodeFailure, ...]:
    """The failures, of which the newest `most` keep their logs."""
    old = max(0, len(failures) - most)
    return (*(replace(failure, log=()) for failure in failures[:old]), *failures[old:])


def _reasons(rollout: Rollout) -> str:
    return texts.reason("; ".join(f"{failure.node}: {failure.reason}" for failure in rollout.failures))


# ---- when no node updates -------------------------------------------------------------------------------------------


def without_lost(rollout: Rollout, node: str, live: Collection[str], *, now: datetime) -> Rollout:
    """The record without expired slots. A node that may have switched and did not report back counts as a failure."""
    over = tuple(slot for slot in rollout.slots if slot.until <= now and slot.node != node)
    if not over:
        return rollout
    rest = tuple(slot for slot in rollout.slots if slot not in over)
    known = {*rollout.updated, *(failure.node for failure in rollout.failures)}
    lost = tuple(
        NodeFailure(slot.node, "did not report back before its slot expired", now, lost=True)
        for slot in over
        if slot.begun and not slot.joining and slot.release == rollout.release and slot.node not in known
    )
    # `changed_at` stays: other nodes must not begin to wait again for a node that let its slot expire.
    return judged(replace(rollout, slots=rest, failures=(*rollout.failures, *lost)), live, now=now)


def reviewed(rollout: Rollout, node: str, live: Collection[str], *, now: datetime) -> Rollout:
    """The record of a rollout in which no node updates any more: nodes may have died since the last change."""
    return judged(without_lost(rollout, node, live, now=now), live, now=now)


def review_is_due(rollout: Rollout, node: str, *, now: datetime) -> bool:
    """Whether `node` should review the record: the nodes that are done do so, one after the other."""
    if rollout.closed or rollout.state is not State.OPEN:
        return False
    through = {*rollout.updated, *(failure.node for failure in rollout.failures), *rollout.unhealthy_nodes}
    return node in through and now - rollout.changed_at >= PATIENCE * (1 + sorted(through).index(node))


def is_stuck(rollout: Rollout, live: Collection[str], *, now: datetime) -> bool:
    """Whether every live node has been unhealthy for a while: there is no verdict before an admin has repaired one."""
    over = rollout.closed or rollout.state is not State.OPEN or rollout.paused is not None
    unhealthy = {note.by for note in rollout.unhealthy if now - note.at >= UNHEALTHY_PATIENCE}
    return bool(live) and not over and set(live) <= unhealthy
