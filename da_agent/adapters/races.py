"""Threads that start at the same instant."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

from da_agent.errors import AgentError

T = TypeVar("T")


def run_together(jobs: Sequence[Callable[[], T]]) -> list[T | AgentError]:
    """Implements ports.Race: one thread per job; all wait at a barrier until the last one is ready."""
    if not jobs:
        return []
    start = Barrier(len(jobs))

    def runner(job: Callable[[], T]) -> T | AgentError:
        start.wait()
        try:
            return job()
        except AgentError as error:
            return error

    with ThreadPoolExecutor(len(jobs), thread_name_prefix="race") as threads:
        return list(threads.map(runner, jobs))
