"""What is shown to a person while work goes on."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from da_agent.domain.display.tables import Table


class Progress(Protocol):
    """Tells a person how long work goes on. Never fails, never decides."""

    def work(self, title: str, total: int, unit: str) -> AbstractContextManager[Callable[[int], None]]:
        """`total` of `unit` ("bytes", "packages", …) are to be done; call the value with each part that is."""

    def step(self, title: str) -> AbstractContextManager[Callable[[str], None]]:
        """Something that may take long, nobody knows how long; call the value with what is being done now."""

    def say(self, sentence: str) -> None: ...


class Board(Protocol):
    """Shows a person how a rollout goes. Never fails, never decides."""

    def shown(self) -> AbstractContextManager[Callable[[Table], None]]:
        """Call the value with each newer table; the last one stays."""
