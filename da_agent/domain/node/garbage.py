"""Which releases and blobs are not needed any more."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta

from da_agent.domain.node.node_states import NodeState

AGE = timedelta(days=1)
"""Nothing younger is removed: a node or an admin may be about to use it."""

CERTAIN = AGE / 2
"""A process that asked for the next release within this time need not list: a next release cannot be removed yet."""

FRESH = timedelta(hours=12)
"""An older blob is written again for a new release, so that gc does not remove it as unused."""

TRUSTED = timedelta(hours=11)
"""For this time after it was looked at such a blob is safe: with FRESH it is still an hour younger than AGE."""

GONE_AFTER = timedelta(days=30)
"""A node that has not reported for this time is gone: the releases that it served are not kept for it."""

KEPT = 10
"""How many of the newest releases stay, needed or not: to look at, and to go back to."""


def needless_releases(
    written: Mapping[int, datetime], needed: Collection[int], *, now: datetime, kept: int = KEPT
) -> tuple[int, ...]:
    """The releases of the ledger that may go, oldest first; never the newest.

    `written` says when each was written. `needed` are those that nodes serve or are on their way to, and the one that
    the inbox has become.
    """
    newest = set(sorted(written)[-max(kept, 1) :])
    # A node may go back to the release before the oldest that is served.
    served = [number for number in needed if number in written]
    before = {max((number for number in written if number < oldest), default=oldest) for oldest in served}
    stay = newest | set(needed) | before
    return tuple(sorted(number for number, at in written.items() if number not in stay and now - at > AGE))


KEPT_HERE = 2
"""How many complete releases stay on a node's disk beside those it needs: to go back at once, without the store."""


def kept_here(staged: Collection[int], current: int | None, node_state: NodeState) -> frozenset[int]:
    """The releases that stay on a node's disk: the current one, the live one, those of a probation, and the newest
    others."""
    probation = (node_state.probation.release, node_state.probation.before) if node_state.probation is not None else ()
    needed = {number for number in (current, node_state.live, *probation) if number is not None}
    return frozenset(needed | set(sorted(set(staged) - needed)[-KEPT_HERE:]))


def needless_blobs(written: Mapping[str, datetime], used: Iterable[str], *, now: datetime) -> tuple[str, ...]:
    """The keys of blobs that may go, sorted; `used` are the keys that the remaining releases name."""
    stay = set(used)
    return tuple(sorted(key for key, at in written.items() if key not in stay and now - at > AGE))
