"""Progress as bars on a terminal, and one line for each finished step."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from da_agent.domain import texts
from da_agent.domain.units import amount, part


class Bars:
    """Implements ports.Progress for a terminal; writes to stderr, so that stdout stays clean.

    Nested steps share one live display: two displays would overwrite each other.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._live: Progress | None = None
        self._depth = 0
        self._lock = threading.RLock()

    @contextmanager
    def work(self, title: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        if total == 0:
            yield lambda _: None
            return
        with self._shown(title, total, unit) as (live, task):
            yield lambda number: live.advance(task, number)
            done = int(live.tasks[live.task_ids.index(task)].completed)
        self._finished(f"{title}: {amount(done, unit)}" if done == total else f"{title}: {part(done, total, unit)}")

    @contextmanager
    def step(self, title: str) -> Iterator[Callable[[str], None]]:
        with self._shown(title, None, "") as (live, task):
            yield lambda sentence: live.update(task, description=texts.visible(f"{title}: {sentence}"))
        self._finished(title)

    def say(self, sentence: str) -> None:
        self._console.print(texts.shown(sentence), markup=False)

    def _finished(self, sentence: str) -> None:
        self._console.print(Text("\u2713 ", style="green"), Text(texts.visible(sentence)), sep="")

    @contextmanager
    def _shown(self, title: str, total: int | None, unit: str) -> Iterator[tuple[Progress, TaskID]]:
        """A task in the live display. The last task ends the display, also after Ctrl-C: the cursor comes back."""
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), _Bar(), _Amount())
        task = None
        try:
            with self._lock:
                self._depth += 1
                if self._live is None:
                    self._live = Progress(*columns, TimeElapsedColumn(), console=self._console, transient=True)
                live = self._live
                # Inside the try: both calls draw, and Ctrl-C may interrupt them.
                live.start()
                task = live.add_task(texts.visible(title), total=total, unit=unit)
            yield live, task
        finally:
            self._end(task)

    def _end(self, task: TaskID | None) -> None:
        with self._lock:
            self._depth -= 1
            if self._live is not None and task is not None:
                self._live.remove_task(task)
            if self._live is not None and self._depth == 0:
                self._live.stop()
                self._live = None


class _Bar(BarColumn):
    """A bar for work of known length; nothing for a step without a total, which has only the spinner."""

    def render(self, task: Task) -> Text | object:  # type: ignore[override]
        return Text() if task.total is None else super().render(task)


class _Amount(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text("" if task.total is None else part(int(task.completed), int(task.total), task.fields["unit"]))
