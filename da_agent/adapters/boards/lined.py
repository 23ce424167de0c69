"""A rollout as a log: one line for each change."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from da_agent.domain import texts, units
from da_agent.domain.display import tables
from da_agent.domain.display.tables import Table


class LinedBoard:
    """Implements ports.Board for logs and pipes."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    @contextmanager
    def shown(self) -> Iterator[Callable[[Table], None]]:
        before: Table | None = None

        def show(table: Table) -> None:
            nonlocal before
            for line in tables.changes(before, table):
                self._out.write(f"{units.time(table.at)} {texts.visible(line)}\n")
            self._out.flush()
            before = table

        yield show
