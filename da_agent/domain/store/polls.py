"""When a node asks the store: seldom, and not at the same moment as the others."""

from datetime import datetime, timedelta
from typing import TypeVar

Moment = TypeVar("Moment", datetime, timedelta)
"""Of a clock that people can set, or of one that only goes on."""


def due(last: Moment | None, period: timedelta, *, now: Moment) -> bool:
    """Whether what was last done at `last` is to be done again. A clock that was set back puts nothing off."""
    return last is None or not timedelta() <= now - last < period


def pause(period: timedelta, chance: float, *, together: bool) -> timedelta:
    """How long to wait until the next poll; `chance` is from 0 to 1.

    `together`: this poll may have been made by all nodes at once (they were started or woken by the same event). Then
    the next ones are spread over the whole period; later ones keep apart by a tenth of it either way.
    """
    return period * chance if together else period * (0.9 + 0.2 * chance)
