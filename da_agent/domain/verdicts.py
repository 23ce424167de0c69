"""What has become of the nodes that moved to a release, and what the cluster thinks of it then."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

from da_agent.domain.rollouts import KEPT_LINES, PATIENCE, Blame, Note, Rollout, State

ILL = timedelta(seconds=60)
"""How long a node is sick before nobody waits for it any more: it has tried again meanwhile."""


def moved(
    rollout: Rollout, node: str, live: Collection[str], *, now: datetime, heard: Collection[str] | None = None
) -> Rollout:
    """The node has proven that it serves the release: its turn is over, and what was held against it is forgotten.

    Here and below: `live` are those that may be alive, and `heard` those of them that have reported lately, where that
    is not the same.
    """
    names = rollout.moved if node in rollout.moved else (*rollout.moved, node)
    return judged(replace(_cleared(rollout, node), moved=names, changed_at=now), live, now=now, heard=heard)


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
    blame = Blame(node, reason, now, log[-KEPT_LINES:])
    cleared = _cleared(rollout, node)
    names = tuple(each for each in rollout.moved if each != node)
    changed = replace(cleared, moved=names, blames=(*cleared.blames, blame), changed_at=now)
    return judged(changed, live, now=now, heard=heard)


def sickened(
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
    since = next((note.at for note in rollout.sick if note.by == node), now)
    cleared = _cleared(rollout, node)
    changed = replace(cleared, sick=(*cleared.sick, Note(node, since, reason)), changed_at=now)
    return judged(changed, live, now=now, heard=heard)


def _cleared(rollout: Rollout, node: str) -> Rollout:
    return replace(
        rollout,
        turns=rollout.turns_without(node),
        blames=tuple(blame for blame in rollout.blames if blame.node != node),
        sick=tuple(note for note in rollout.sick if note.by != node),
        once=rollout.once_without(node),
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
        _reasons(rollout) if state is State.QUARANTINED else f"{len(there.intersection(rollout.moved))} nodes serve it"
    )
    return replace(rollout, state=state, verdict=Note("the cluster", now, reason))


def _verdict(rollout: Rollout, live: frozenset[str], heard: frozenset[str]) -> State | None:
    """Too many have failed, or of the nodes that are alive each has moved, failed, or is sick.

    Those speak for a release that serve it and are heard; what the dead have served proves nothing. Where more have
    failed than serve it, it is bad, however many may fail: what is proven is what others go back to.

    When some have failed and all others are sick, nobody is left who could speak for the release. Sick nodes alone say
    nothing of it: they go on by themselves once somebody has mended them.
    """
    blamed = {blame.node for blame in rollout.blames}
    shown = sum(1 for blame in rollout.blames if not blame.lost)
    allowed = rollout.policy.max_failures
    # One machine may be switched off at any time, whatever is allowed; not one after the other.
    if shown > allowed or len(blamed) > max(allowed, 1):
        return State.QUARANTINED
    if not live <= {*rollout.moved, *blamed, *rollout.sick_nodes}:
        return None
    serving, silent = heard.intersection(rollout.moved), live.intersection(rollout.moved) - heard
    against = sum(1 for blame in rollout.blames if not blame.lost and blame.node in live)
    if serving and against <= len(serving):
        return State.PROVEN
    if silent:
        # They may be well, and speak for it; whoever is sure looks again.
        return None
    return State.QUARANTINED if shown or (blamed and live <= blamed) else None


def _reasons(rollout: Rollout) -> str:
    return "; ".join(f"{blame.node}: {blame.reason}" for blame in rollout.blames)


# ---- when nobody moves ----------------------------------------------------------------------------------------------


def without_lost(rollout: Rollout, node: str, live: Collection[str], *, now: datetime) -> Rollout:
    """Without the turns that have ended by themselves. Whoever may have switched and has not come back is held against
    the release."""
    over = tuple(turn for turn in rollout.turns if turn.until <= now and turn.node != node)
    if not over:
        return rollout
    rest = tuple(turn for turn in rollout.turns if turn not in over)
    known = {*rollout.moved, *(blame.node for blame in rollout.blames)}
    lost = tuple(
        Blame(turn.node, "it has not come back from its turn", now, lost=True)
        for turn in over
        if turn.begun and not turn.joining and turn.release == rollout.release and turn.node not in known
    )
    # The time of the last change stays: whoever lets its turn pass does not become the one to wait for again.
    return judged(replace(rollout, turns=rest, blames=(*rollout.blames, *lost)), live, now=now)


def reviewed(rollout: Rollout, node: str, live: Collection[str], *, now: datetime) -> Rollout:
    """What has become of a rollout in which nobody moves any more: nodes may have died since the last change."""
    return judged(without_lost(rollout, node, live, now=now), live, now=now)


def review_is_due(rollout: Rollout, node: str, *, now: datetime) -> bool:
    """Whether it is for `node` to look: those that have had their turn do it, one after the other."""
    if rollout.closed or rollout.state is not State.OPEN:
        return False
    through = {*rollout.moved, *(blame.node for blame in rollout.blames), *rollout.sick_nodes}
    return node in through and now - rollout.changed_at >= PATIENCE * (1 + sorted(through).index(node))


def is_stuck(rollout: Rollout, live: Collection[str], *, now: datetime) -> bool:
    """Whether every node that is alive has been at fault itself for a while: there will be no verdict before somebody
    has mended one."""
    over = rollout.closed or rollout.state is not State.OPEN or rollout.paused is not None
    ill = {note.by for note in rollout.sick if now - note.at >= ILL}
    return bool(live) and not over and set(live) <= ill
