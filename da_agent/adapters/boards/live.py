"""A rollout as a table that is redrawn in place."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table as Drawing
from rich.text import Text

from da_agent.domain import texts
from da_agent.domain.display.tables import Table

_COLOURS = {"serving": "green", "silent": "red", "stopped": "red"}


class LiveBoard:
    """Implements ports.Board for a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)

    @contextmanager
    def shown(self) -> Iterator[Callable[[Table], None]]:
        with Live(console=self._console, auto_refresh=False) as live:
            yield lambda table: live.update(_drawn(table), refresh=True)


def _drawn(table: Table) -> Group:
    drawing = Drawing("node", "release", "phase", "for", "waits for, or what is wrong", box=None, padding=(0, 2, 0, 0))
    for row in table.rows:
        phase = _text(row.phase, _COLOURS.get(row.phase, "yellow"))
        drawing.add_row(_text(row.node), _text(row.release), phase, _text(table.age(row)), _text(row.note))
    return Group(_text(table.header, "bold"), drawing)


def _text(words: str, style: str = "") -> Text:
    """Not markup: rich would take brackets in a reason for markup."""
    return Text(texts.visible(words), style=style)
