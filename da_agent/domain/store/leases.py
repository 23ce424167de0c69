"""Leases: the exclusive right to some work until a given time."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from da_agent.domain import limits
from da_agent.domain.store import keys

TERM = timedelta(seconds=30)
"""The length of a lease that its holder renews while it works: how long others wait for a dead or suspended holder."""

RENEWAL = TERM / 3
"""The time from one renewal to the next: two may be missed."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease from `since`, when its holder claimed it, to `until`, both by the store's clock.

    `nonce` distinguishes two processes with the same name.
    """

    holder: str
    since: datetime
    until: datetime
    nonce: str


def longest(key: str) -> timedelta:
    """The longest term of the lease with this key."""
    return limits.LEASE if key == keys.INBOX_LEADER else limits.SHORT_LEASE


def limited(lease: Lease, term: timedelta, *, written_at: datetime, now: datetime) -> Lease | None:
    """The lease, which ends `term` after it was written at the latest. None when it was written in the future.

    All times are the store's.
    """
    if written_at > now + limits.CLOCKS:
        return None
    return replace(lease, until=min(lease.until, written_at + term + limits.CLOCKS))
