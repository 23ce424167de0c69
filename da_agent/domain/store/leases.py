"""Leases: the exclusive right to some work until a given time."""

from dataclasses import dataclass
from datetime import datetime, timedelta

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
