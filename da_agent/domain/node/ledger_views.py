"""What a node knows of the ledger, and which request finds the next release."""

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum

from da_agent.domain.node import garbage
from da_agent.domain.release.releases import Release
from da_agent.domain.rollout import rollouts
from da_agent.domain.store.polls import due


class Source(Enum):
    """What a node reads to learn of a newer release.

    LISTING   the list of all releases
    NEXT      the release after the newest one that the node knows: one request while there is none
    RECORD    the rollout record of the newest one, which is read anyway: the next publication closes it
    """

    LISTING = "listing"
    NEXT = "next"
    RECORD = "record"


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest release. `release` is None when its manifest cannot be read; `problem` then says why."""

    number: int
    release: Release | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class LedgerView:
    """The ledger as a node last read it. Moments are those of a monotonic clock.

    newest        the newest release; None before there is one
    asked_at      when the ledger was last read; None: never
    listed_from   the newest release that was known when the ledger was last listed
    misses        whether the last read found no newer release although the record says that there is one
    lost          whether the store has failed to answer since the ledger was last read
    is_offered    whether the node was offered `newest`, together with `fallback`
    """

    newest: Newest | None = None
    asked_at: timedelta | None = None
    listed_from: int | None = None
    misses: bool = False
    lost: bool = False
    is_offered: bool = False
    fallback: int | None = None

    @property
    def head(self) -> int | None:
        """The number of the newest release; None before there is one."""
        return None if self.newest is None else self.newest.number

    # ---- what happens

    def asked(self, found: int | None, source: Source, *, is_over: bool, now: timedelta) -> "LedgerView":
        """The ledger was read from `source`; its newest release is `found`. `is_over` as in `source`."""
        listed_from = self.head if source is Source.LISTING else self.listed_from
        misses = is_over and found == self.head
        return replace(self, asked_at=now, listed_from=listed_from, misses=misses, lost=False)

    def unanswered(self) -> "LedgerView":
        """The store has not answered: when it comes back, releases may be gone."""
        return replace(self, lost=True)

    def read(self, newest: Newest) -> "LedgerView":
        """The manifest of the newest release was read, or cannot be read."""
        return replace(self, newest=newest, is_offered=False, fallback=None)

    def offered(self, fallback: int | None) -> "LedgerView":
        """The node was offered the newest release and `fallback`."""
        return replace(self, is_offered=True, fallback=fallback)

    # ---- what follows

    def source(self, *, record_tells: bool, is_over: bool, now: timedelta) -> Source:
        """What to read next.

        `record_tells`: the record of the newest release is read at each poll, and no more certainty is needed.
        `is_over`: that record says that there is a newer release. A publisher that was killed between its two writes
        has not closed the record, so the ledger itself is read now and then.
        """
        if self._needs_listing(is_over=is_over, now=now):
            return Source.LISTING
        return Source.RECORD if record_tells and not due(self.asked_at, rollouts.READ_PERIOD, now=now) else Source.NEXT

    def _needs_listing(self, *, is_over: bool, now: timedelta) -> bool:
        """True when the release after the newest one known may be missing although there are newer ones.

        After days of suspension the next releases may have been collected, and so may those after a closed record
        without a successor. One listing answers both cases.
        """
        missing = is_over and self.misses and self.head != self.listed_from
        return self.head is None or self.lost or missing or due(self.asked_at, garbage.CERTAIN, now=now)

    def needs_manifest(self, number: int) -> bool:
        """Whether to read the manifest of the newest release `number`. An unreadable one is read again: an admin may
        have repaired it.
        """
        return self.newest is None or self.newest.number != number or self.newest.release is None

    def needs_offer(self, fallback: int | None) -> bool:
        """Whether the node must be offered the newest release and `fallback`."""
        return not self.is_offered or self.fallback != fallback
