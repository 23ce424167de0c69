"""Calls with a deadline."""

from collections.abc import Callable
from datetime import timedelta
from threading import Thread
from typing import TypeVar

from da_agent import ports
from da_agent.errors import AgentError, Unreachable

T = TypeVar("T")


def within(patience: timedelta) -> ports.Deadline:
    """A function that calls its argument in a daemon thread and returns the result, or raises its AgentError.

    Unreachable when there is no result within `patience`. A thread that hangs does not keep the process from ending.
    """

    def ask(question: Callable[[], T]) -> T:
        answers: list[T] = []
        errors: list[AgentError] = []

        def run() -> None:
            try:
                answers.append(question())
            except AgentError as error:
                errors.append(error)

        thread = Thread(target=run, name="deadline", daemon=True)
        thread.start()
        thread.join(patience.total_seconds())
        if errors:
            raise errors[0]
        if not answers:
            raise Unreachable(f"no answer within {patience.total_seconds():g} seconds")
        return answers[0]

    return ask
