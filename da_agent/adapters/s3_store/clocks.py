"""The time of a store, taken from the Date header of its answers."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from da_agent.domain import limits

_GRAIN = timedelta(seconds=2)
"""The header has whole seconds, so two answers may differ by one, and a little more for the network."""


def _steady() -> float:
    """Seconds of a monotonic clock that goes on while the machine is suspended, as the store's time does."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class StoreClock:
    """Counts on from the newest answer by this machine's monotonic clock. May be used by many threads."""

    def __init__(self, steady: Callable[[], float] = _steady) -> None:
        self._steady = steady
        self._lock = threading.Lock()
        self._zero: datetime | None = None
        self._heard_at = 0.0

    def hear(self, date: str | None) -> None:
        """Take the Date header of an answer that has just arrived; one that is no possible date is ignored."""
        try:
            told = parsedate_to_datetime(date or "")
        except ValueError:
            return
        told = told if told.tzinfo else told.replace(tzinfo=UTC)
        if not limits.EARLIEST <= told < limits.LATEST:
            return
        now = self._steady()
        zero = told - timedelta(seconds=now)
        with self._lock:
            self._heard_at = now
            # A header is always a little late, never early: within the grain only a later zero is better, and
            # taking every zero would make the clock jump back and forth.
            if self._zero is None or abs(zero - self._zero) > _GRAIN or zero > self._zero:
                self._zero = zero

    def now(self, patience: float) -> datetime | None:
        """The store's time (UTC); None when the store has not answered within the last `patience` seconds."""
        now = self._steady()
        with self._lock:
            if self._zero is None or now - self._heard_at > patience:
                return None
            return (self._zero + timedelta(seconds=now)).astimezone(UTC)
