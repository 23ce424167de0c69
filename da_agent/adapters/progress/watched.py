"""The work in progress, for reports and `status`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from da_agent import ports
from da_agent.domain.units import part


class Watched:
    """Implements ports.Progress: passes everything to another implementation and remembers the current work."""

    def __init__(self, progress: ports.Progress) -> None:
        self._progress = progress
        self._going_on: list[Callable[[], str]] = []

    def now(self) -> str | None:
        """The innermost work in progress and how far it is; None when there is none. May be called from any thread."""
        going_on = self._going_on[-1:]
        return going_on[0]() if going_on else None

    @contextmanager
    def work(self, title: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        done = 0

        def count(number: int) -> None:
            nonlocal done
            done += number
            advance(number)

        remembered = self._remembered(lambda: f"{title}: {part(done, total, unit)}")
        with self._progress.work(title, total, unit) as advance, remembered:
            yield count

    @contextmanager
    def step(self, title: str) -> Iterator[Callable[[str], None]]:
        now = title

        def know(sentence: str) -> None:
            nonlocal now
            now = f"{title}: {sentence}"
            tell(sentence)

        with self._progress.step(title) as tell, self._remembered(lambda: now):
            yield know

    def say(self, sentence: str) -> None:
        self._progress.say(sentence)

    @contextmanager
    def _remembered(self, state: Callable[[], str]) -> Iterator[None]:
        self._going_on.append(state)
        try:
            yield
        finally:
            self._going_on.remove(state)
