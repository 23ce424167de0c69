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
        # Text objects, not markup: rich would read brackets in a reason as markup.
        phase = Text(texts.visible(row.phase), style=_COLOURS.get(row.phase, "yellow"))
        words = (Text(texts.visible(each)) for each in (row.node, row.release, table.age(row), row.note))
        node, release, age, note = words
        drawing.add_row(node, release, phase, age, note)
    return Group(Text(texts.visible(table.header), style="bold"), drawing)
