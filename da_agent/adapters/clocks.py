"""This machine's clock, and waits that can be interrupted."""

import os
import select
import time
import weakref
from datetime import UTC, datetime, timedelta

from da_agent.errors import Stopped

_LONGEST_POLL = 3600.0
"""Seconds: the kernel limits the time-out of one poll."""


class SystemClock:
    """Waits on an eventfd, which threads and signal handlers can raise without a lock."""

    def __init__(self) -> None:
        self._counter = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._stopped = False
        weakref.finalize(self, os.close, self._counter)

    def now(self) -> datetime:
        return datetime.now(UTC)

    def elapsed(self) -> timedelta:
        return timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME))

    def wait(self, period: timedelta) -> bool:
        poll = select.poll()
        poll.register(self._counter, select.POLLIN)
        end = time.monotonic() + period.total_seconds()
        while True:
            self._check()
            left = end - time.monotonic()
            if poll.poll(min(max(left, 0.0), _LONGEST_POLL) * 1000):
                os.eventfd_read(self._counter)
                self._check()
                return True
            if left <= 0:
                return False

    def wake(self) -> None:
        """Make the current wait, or else the next one, return at once. Safe in any thread or signal handler."""
        os.eventfd_write(self._counter, 1)

    def stop(self) -> None:
        """Make the current wait and all later ones raise Stopped. Safe in any thread or signal handler."""
        self._stopped = True
        self.wake()

    def _check(self) -> None:
        if self._stopped:
            raise Stopped("this process was told to end")
