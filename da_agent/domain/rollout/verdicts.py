"""What has become of the nodes that moved to a release, and what the cluster thinks of it then."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

from da_agent.domain.rollout.rollouts import KEPT_LINES, PATIENCE, NodeFailure, Note, Rollout, State

ILL = timedelta(seconds=60)
"""How long a node is sick before nobody waits for it any more: it has tried again meanwhile."""


def updated(
    rollout: Rollout, node: str, live: Collection[str], *, now: datetime, heard: Collection[str] | None = None
) -> Rollout:
    """The node has stable that it serves the release: its turn is over, and what was held against it is forgotten.

    Here and below: `live` are those that may be alive, and `heard` those of them that have reported lately, where that
    is not the same.
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
    """The node is well on another release, and could not serve this one: the release is to blame."""
    failure = NodeFailure(node, reason, now, log[-KEPT_LINES:])
    cleared = _cleared(rollout, node)
    names = tuple(each for each in rollout.updated if each != node)
    changed = replace(cleared, updated=names, failures=(*cleared.failures, failure), changed_at=now)
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
    """The node is not well on any release: it is to blame itself, and the others go on without it. Whoever has said so
    before has been sick since then."""
    since = next((note.at for note in rollout.unhealthy if note.by == node), now)
    cleared = _cleared(rollout, node)
    changed = replace(cleared, unhealthy=(*cleared.unhealthy, Note(node, since, reason)), changed_at=now)
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
    """With the verdict, when there can be one."""
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
    """Too many have failed, or of the nodes that are alive each has moved, failed, or is sick.

    Those speak for a release that serve it and are heard; what the dead have served proves nothing. Where more have
    failed than serve it, it is bad, however many may fail: what is stable is what others go back to.

    When some have failed and all others are sick, nobody is left who could speak for the release. Sick nodes alone say
    nothing of it: they go on by themselves once somebody has mended them.
    """
    failed_nodes = {failure.node for failure in rollout.failures}
    shown = sum(1 for failure in rollout.failures if not failure.lost)
    allowed = rollout.strategy.max_failures
    # One machine may be switched off at any time, whatever is allowed; not one after the other.
    if shown > allowed or len(failed_nodes) > max(allowed, 1):
        return State.QUARANTINED
    if not live <= {*rollout.updated, *failed_nodes, *rollout.unhealthy_nodes}:
        return None
    serving, silent = heard.intersection(rollout.updated), live.intersection(rollout.updated) - heard
    against = sum(1 for failure in rollout.failures if not failure.lost and failure.node in live)
    if serving and against <= len(serving):
        return State.STABLE
    if silent:
        # They may be well, and speak for it; whoever is sure looks again.
        return None
    return State.QUARANTINED if shown or (failed_nodes and live <= failed_nodes) else None


def _reasons(rollout: Rollout) -> str:
    return "; ".join(f"{failure.node}: {failure.reason}" for failure in rollout.failures)


# ---- when nobody moves ----------------------------------------------------------------------------------------------


def without_lost(rollout: Rollout, node: str, live: Collection[str], *, now: datetime) -> Rollout:
    """Without the turns that have ended by themselves. Whoever may have switched and has not come back is held against
    the release."""
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
    # The time of the last change stays: whoever lets its turn pass does not become the one to wait for again.
    return judged(replace(rollout, slots=rest, failures=(*rollout.failures, *lost)), live, now=now)


def reviewed(rollout: Rollout, node: str, live: Collection[str], *, now: datetime) -> Rollout:
    """What has become of a rollout in which nobody moves any more: nodes may have died since the last change."""
    return judged(without_lost(rollout, node, live, now=now), live, now=now)


def review_is_due(rollout: Rollout, node: str, *, now: datetime) -> bool:
    """Whether it is for `node` to look: those that have had their turn do it, one after the other."""
    if rollout.closed or rollout.state is not State.OPEN:
        return False
    through = {*rollout.updated, *(failure.node for failure in rollout.failures), *rollout.unhealthy_nodes}
    return node in through and now - rollout.changed_at >= PATIENCE * (1 + sorted(through).index(node))


def is_stuck(rollout: Rollout, live: Collection[str], *, now: datetime) -> bool:
    """Whether every node that is alive has been at fault itself for a while: there will be no verdict before somebody
    has mended one."""
    over = rollout.closed or rollout.state is not State.OPEN or rollout.paused is not None
    ill = {note.by for note in rollout.unhealthy if now - note.at >= ILL}
    return bool(live) and not over and set(live) <= ill
