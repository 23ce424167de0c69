"""Progress as lines of a log: few, but each says what the process waits for and for how long."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from da_agent.domain import texts
from da_agent.domain.display import log_rate
from da_agent.domain.units import amount, part


class Lines:
    """Implements ports.Progress for logs and pipes."""

    def __init__(
        self, out: TextIO, *, clock: Callable[[], float] = time.monotonic, pause: Callable[[float], float] = float
    ) -> None:
        """`clock` returns seconds; `pause` maps the seconds until the next line to those to wait (shorter in tests)."""
        self._out = out
        self._clock = clock
        self._pause = pause

    @contextmanager
    def work(self, title: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        done = 0

        def advance(number: int) -> None:
            nonlocal done
            done += number

        with self._told(title, lambda: part(done, total, unit)) as elapsed:
            yield advance
        if done:
            self.say(f"{title}: {amount(done, unit)}{_duration(elapsed())}")

    @contextmanager
    def step(self, title: str) -> Iterator[Callable[[str], None]]:
        now = ""

        def tell(sentence: str) -> None:
            nonlocal now
            now = sentence

        with self._told(title, lambda: now) as elapsed:
            yield tell
        self.say(f"{title}: done{_duration(elapsed())}")

    def say(self, sentence: str) -> None:
        try:
            self._out.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {texts.shown(sentence)}\n")
            self._out.flush()
        except (OSError, ValueError):
            # A full disk or a closed pipe behind the log must not stop the work.
            return

    @contextmanager
    def _told(self, title: str, state: Callable[[], str]) -> Iterator[Callable[[], float]]:
        """Write a line now and then until the work ends, from a thread: uv reports nothing while it resolves or builds.

        Yields a function that returns the seconds since the start.
        """
        began, ended = self._clock(), threading.Event()

        def elapsed() -> float:
            return self._clock() - began

        def tell() -> None:
            while not ended.wait(self._pause(log_rate.next_line(elapsed()))):
                detail = state()
                self.say(f"{title}{': ' if detail else ''}{detail}, for {elapsed():.0f} s now")

        thread = threading.Thread(target=tell, name=f"progress of {title}", daemon=True)
        thread.start()
        try:
            yield elapsed
        finally:
            ended.set()
            thread.join()


def _duration(seconds: float) -> str:
    return f" in {seconds:.0f} s" if seconds >= log_rate.FIRST else ""
