"""Progress as bars on a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn


class Bars:
    """Implements ports.Progress for a person who watches; writes to stderr, so that stdout stays clean."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)

    @contextmanager
    def work(self, title: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        amount: ProgressColumn = DownloadColumn() if unit == "bytes" else MofNCompleteColumn()
        columns = (TextColumn("{task.description}"), BarColumn(), amount)
        with Progress(*columns, console=self._console) as progress:
            task = progress.add_task(title, total=total)

            def advance(part: int) -> None:
                progress.advance(task, part)

            yield advance

    def say(self, sentence: str) -> None:
        self._console.print(sentence, markup=False)
