"""When a node polls the store: rarely, and spread out so that nodes do not poll at the same moment."""

from datetime import datetime, timedelta
from typing import TypeVar

Moment = TypeVar("Moment", datetime, timedelta)
"""A time of the wall clock, which can be set, or of the monotonic clock."""


def due(last: Moment | None, period: timedelta, *, now: Moment) -> bool:
    """Whether work last done at `last` is due again at `now`. A clock that was set back makes it due at once."""
    return last is None or not timedelta() <= now - last < period


def pause(period: timedelta, chance: float, *, together: bool) -> timedelta:
    """How long to wait until the next poll. `chance` is a random number from 0 to 1.

    `together` is true when all nodes may have polled at once, because the same event started or notified them.
    Then the result is spread over the whole `period`; otherwise it is `period` plus or minus a tenth.
    """
    return period * chance if together else period * (0.9 + 0.2 * chance)
