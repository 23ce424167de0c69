"""Interfaces that show progress on a terminal."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from da_agent.domain.display.tables import Table


class Progress(Protocol):
    """Reports the progress of long work. It never raises and never influences the work."""

    def work(self, title: str, total: int, unit: str) -> AbstractContextManager[Callable[[int], None]]:
        """Report work on `total` of `unit` ("bytes", "packages", …). Call the value with the size of each part done."""

    def step(self, title: str) -> AbstractContextManager[Callable[[str], None]]:
        """Report a step of unknown length. Call the value with a description of the current activity."""

    def say(self, sentence: str) -> None: ...


class Board(Protocol):
    """Shows the progress of a rollout. It never raises and never influences the rollout."""

    def shown(self) -> AbstractContextManager[Callable[[Table], None]]:
        """Call the value with each newer table. The last table stays on the screen."""
