"""A question that is waited for only so long."""

from collections.abc import Callable
from datetime import timedelta
from threading import Thread
from typing import TypeVar

from da_agent import ports
from da_agent.errors import AgentError, Unreachable

T = TypeVar("T")


def within(patience: timedelta) -> ports.Deadline:
    """Each question is asked in a thread of its own, which does not keep the process from ending."""

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
