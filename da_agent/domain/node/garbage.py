"""Which releases and blobs nobody needs any more."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta

from da_agent.domain.node.node_states import NodeState

AGE = timedelta(days=1)
"""Nothing younger is removed: somebody may be about to use it."""

CERTAIN = AGE / 2
"""Whoever has asked for the next release within this time need not list: if there is one, it has not been removed."""

FRESH = timedelta(hours=12)
"""A blob that is older is written again for a new release, so that it is not removed as nobody's."""

TRUSTED = timedelta(hours=11)
"""So long after it was looked at such a blob is safe: with FRESH it is younger than AGE then, with an hour to spare."""

SILENT = timedelta(days=30)
"""A node that has not reported for so long is gone: what it served keeps nothing any more."""

KEPT = 10
"""So many of the newest releases stay, needed or not: to look at, and to go back to."""


def needless_releases(
    written: Mapping[int, datetime], needed: Collection[int], *, now: datetime, kept: int = KEPT
) -> tuple[int, ...]:
    """Those of the ledger that may go, oldest first. `written` says when each was; `needed` are those that nodes serve
    or are on their way to, and the one that the inbox has become. The newest is never among them."""
    newest = set(sorted(written)[-max(kept, 1) :])
    # A node may go back to the release before the oldest that is served.
    served = [number for number in needed if number in written]
    before = {max((number for number in written if number < oldest), default=oldest) for oldest in served}
    stay = newest | set(needed) | before
    return tuple(sorted(number for number, at in written.items() if number not in stay and now - at > AGE))


KEPT_HERE = 2
"""Complete releases that stay on a node's disk beside those it needs: to go back at once, without the store."""


def kept_here(staged: Collection[int], current: int | None, node_state: NodeState) -> frozenset[int]:
    """The releases that stay on a node's disk: the live one, the last stable, those of a probation, the newest
    others."""
    probation = (node_state.probation.release, node_state.probation.before) if node_state.probation is not None else ()
    needed = {number for number in (current, node_state.live, *probation) if number is not None}
    return frozenset(needed | set(sorted(set(staged) - needed)[-KEPT_HERE:]))


def needless_blobs(written: Mapping[str, datetime], used: Iterable[str], *, now: datetime) -> tuple[str, ...]:
    """The keys of blobs that may go, sorted; `used` are those that a release which stays names."""
    stay = set(used)
    return tuple(sorted(key for key, at in written.items() if key not in stay and now - at > AGE))
