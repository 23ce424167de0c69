"""Progress as lines of a log: quiet, one line at the beginning and one at the end of long work."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

EVERY = 10.0
"""Seconds between two lines about the same work."""


class Lines:
    """Implements ports.Progress for logs and pipes."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    @contextmanager
    def work(self, title: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        done, said = 0, time.monotonic()

        def advance(part: int) -> None:
            nonlocal done, said
            done += part
            if time.monotonic() - said >= EVERY:
                said = time.monotonic()
                self.say(f"{title}: {_amount(done, unit)} of {_amount(total, unit)}")

        yield advance
        if done:
            self.say(f"{title}: {_amount(done, unit)}")

    def say(self, sentence: str) -> None:
        try:
            self._out.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {sentence}\n")
            self._out.flush()
        except OSError:
            # A full disk or a closed pipe under the log must not stop the work.
            return


def _amount(number: int, unit: str) -> str:
    if unit != "bytes":
        return f"{number} {unit}"
    return f"{number / 1e6:.1f} MB" if number >= 100_000 else f"{number} bytes"
