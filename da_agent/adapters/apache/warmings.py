"""Warming: the idle group is asked until each of its processes has loaded the release."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from da_agent.adapters.apache import processes
from da_agent.domain.application.readiness import Answer, Wanted, Worker
from da_agent.errors import ReleaseBroken

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 0.5
"""Seconds between two polls of loading processes: each poll costs the machine as much as some requests."""

FORMER = 60.0
"""Seconds that a process may spend on requests from before the last reload."""


@dataclass
class Warming:
    """`workers` lists the group's processes and `ask` asks them; `count` of them must load `wanted` within `seconds`.

    A process that holds another release is told to end after its requests. Its replacement loads what the group is
    pinned to.
    """

    wanted: Wanted
    count: int
    workers: Callable[[], frozenset[Worker]]
    ask: Callable[[int], tuple[Answer, ...]]
    seconds: float
    _answers: dict[int, Answer] = field(default_factory=dict)
    _relieved: set[Worker] = field(default_factory=set)

    def run(self) -> None:
        """Return once all processes have loaded the release; ReleaseBroken when one cannot, or after `seconds`."""
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
        """End the `former` processes that still run and have not started to load the release."""
        for worker in former & self.workers():
            answer = self._answers.get(worker.pid)
            if answer is None or (answer.release is not None and not answer.has(self.wanted)):
                processes.end(worker)

    def _broken(self, reason: str) -> ReleaseBroken:
        return ReleaseBroken(f"cannot serve release {self.wanted.release}: {reason}")
