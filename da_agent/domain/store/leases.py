"""Leases: the exclusive right to some work until a given time."""

from dataclasses import dataclass
from datetime import datetime, timedelta

PERIOD = timedelta(minutes=2)
"""The length of a lease: how long other processes wait for a dead holder."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that expires at `until`, by the store's clock. `nonce` distinguishes two processes with the same name."""

    holder: str
    until: datetime
    nonce: str

    @property
    def since(self) -> datetime:
        return self.until - PERIOD
