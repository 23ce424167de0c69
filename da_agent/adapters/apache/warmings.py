"""The idle group on its way to a release: asked until each of its processes has loaded it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from da_agent.adapters.apache import processes
from da_agent.domain.application.readiness import Answer, Wanted, Worker
from da_agent.errors import ReleaseBroken

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 0.5
"""Seconds between two looks at processes that are loading: each look costs the machine what some requests do."""

FORMER = 60.0
"""Seconds that a process may go on with requests which it has had since before the last reload."""


@dataclass
class Warming:
    """`workers` are the group's processes now, `ask` asks them; there must be `count` of them.

    Processes that have something else in memory are told to end when their requests are done; those which take their
    place load what the group is pinned to.
    """

    wanted: Wanted
    count: int
    workers: Callable[[], frozenset[Worker]]
    ask: Callable[[int], tuple[Answer, ...]]
    seconds: float
    _answers: dict[int, Answer] = field(default_factory=dict)
    _relieved: set[Worker] = field(default_factory=set)

    def run(self) -> None:
        """Return when all have loaded it; ReleaseBroken when one cannot, or when time is up."""
        began = time.monotonic()
        former = self.workers()
        patience = min(FORMER, self.seconds / 2)
        pause = FIRST_PAUSE
        while not self._look():
            passed = time.monotonic() - began
            if passed > self.seconds:
                raise self._broken(f"it was not loaded within {self.seconds:g} seconds")
            if passed > patience:
                self._end(former)
                former = frozenset()
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _look(self) -> bool:
        workers = self.workers()
        self._answers.update({answer.pid: answer for answer in self.ask(max(1, self.count))})
        for worker in workers:
            answer = self._answers.get(worker.pid)
            if answer is None:
                continue
            mine = answer.release is None or answer.has(self.wanted)
            if mine and answer.error is not None:
                raise self._broken(f"the application cannot be loaded: {answer.error}")
            if not mine and worker not in self._relieved:
                self._relieved.add(worker)
                processes.relieve(worker)
        return len(workers) >= self.count and all(map(self._has_loaded, workers))

    def _has_loaded(self, worker: Worker) -> bool:
        answer = self._answers.get(worker.pid)
        return answer is not None and answer.has(self.wanted)

    def _end(self, former: frozenset[Worker]) -> None:
        """Those that were there before it began and have neither ended nor begun to load: their time is up."""
        for worker in former & self.workers():
            answer = self._answers.get(worker.pid)
            if answer is None or (answer.release is not None and not answer.has(self.wanted)):
                processes.end(worker)

    def _broken(self, reason: str) -> ReleaseBroken:
        return ReleaseBroken(f"cannot serve release {self.wanted.release}: {reason}")
