"""The right to be the only one at some work, until a time."""

from dataclasses import dataclass
from datetime import datetime, timedelta

PERIOD = timedelta(minutes=2)
"""How long a dead holder keeps the others waiting."""


@dataclass(frozen=True, slots=True)
class Lease:
    """It ends by itself at `until`, by the store's clock. `nonce` tells two processes with one name apart."""

    holder: str
    until: datetime
    nonce: str

    @property
    def since(self) -> datetime:
        return self.until - PERIOD
