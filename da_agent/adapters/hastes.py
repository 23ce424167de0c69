"""A question that is waited for only so long."""

from collections.abc import Callable
from datetime import timedelta
from threading import Thread
from typing import TypeVar

from da_agent.errors import AgentError, Unreachable

T = TypeVar("T")


class Haste:
    """Each question is asked in a thread of its own; one that is late does not keep the process from ending, either."""

    def __init__(self, patience: timedelta) -> None:
        self._patience = patience

    def ask(self, question: Callable[[], T]) -> T:
        answers: list[T] = []
        errors: list[AgentError] = []

        def run() -> None:
            try:
                answers.append(question())
            except AgentError as error:
                errors.append(error)

        thread = Thread(target=run, name="haste", daemon=True)
        thread.start()
        thread.join(self._patience.total_seconds())
        if errors:
            raise errors[0]
        if not answers:
            raise Unreachable(f"nobody has answered within {self._patience.total_seconds():g} seconds")
        return answers[0]
