"""The time of a store, learned from the Date header of its answers."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_GRAIN = timedelta(seconds=2)
"""The header has whole seconds: two answers may disagree by one, and by a little for the way."""


def _steady() -> float:
    """Seconds that nobody can set. They go on while the machine is suspended: the store's time does, too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class StoreClock:
    """Goes on by this machine's steady clock from the newest answer; may be told answers by many threads."""

    def __init__(self, steady: Callable[[], float] = _steady) -> None:
        self._steady = steady
        self._lock = threading.Lock()
        self._zero: datetime | None = None
        self._heard_at = 0.0

    def hear(self, date: str | None) -> None:
        """Take the Date header of an answer that has just come. One that is no date is not heard."""
        try:
            told = parsedate_to_datetime(date or "")
        except ValueError:
            return
        now = self._steady()
        zero = (told if told.tzinfo else told.replace(tzinfo=UTC)) - timedelta(seconds=now)
        with self._lock:
            self._heard_at = now
            # A header is always a little late, never early. Without this the clock would jump to and fro.
            if self._zero is None or abs(zero - self._zero) > _GRAIN or zero > self._zero:
                self._zero = zero

    def now(self, patience: float) -> datetime | None:
        """The store's time (UTC); None when it has not answered within the last `patience` seconds."""
        now = self._steady()
        with self._lock:
            if self._zero is None or now - self._heard_at > patience:
                return None
            return (self._zero + timedelta(seconds=now)).astimezone(UTC)
