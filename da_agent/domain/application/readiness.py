"""When a node is ready with a release: every worker process has answered with the fingerprint of the release."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Worker:
    """A process of the web server that runs the application. The pid alone is not enough: it may be reused."""

    pid: int
    started_at: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What a process answered at the loader's URL: what it has loaded, or why the application did not load.

    `release` is None while the process has loaded nothing yet. It may be an older release with the same `fingerprint`
    of the application. `active` is the number of requests that the process answers now.
    """

    pid: int
    release: int | None
    fingerprint: str | None = None
    error: str | None = None
    active: int = 0

    def has(self, wanted: "Wanted") -> bool:
        """Whether the process has loaded what is `wanted`. Older agents wrote no fingerprint: then the number
        counts."""
        if wanted.fingerprint is None:
            return self.release == wanted.release
        return self.fingerprint == wanted.fingerprint


@dataclass(frozen=True, slots=True)
class Wanted:
    """A release that should be served, and the fingerprint of its application."""

    release: int
    fingerprint: str | None


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether all workers are ready with a release.

    `missing` workers have not answered yet. `wrong` answers came from another release or a broken application.
    """

    wanted: Wanted
    workers: frozenset[Worker]
    missing: frozenset[int]
    wrong: tuple[Answer, ...]

    @property
    def release(self) -> int:
        return self.wanted.release

    @property
    def holds(self) -> bool:
        """Whether there are workers and every one of them is ready."""
        return bool(self.workers) and not self.missing and not self.wrong

    @property
    def broken(self) -> str | None:
        """Why the application cannot be loaded from the release, when a worker said so; None otherwise."""
        return next((answer.error for answer in self.wrong if answer.error and answer.has(self.wanted)), None)

    def __str__(self) -> str:
        if not self.workers:
            return "the web server runs no worker process"
        if self.broken:
            return f"the application cannot be loaded: {self.broken}"
        if self.wrong:
            return "worker processes still answer from another release: " + ", ".join(
                f"{answer.pid} from {answer.release}" for answer in self.wrong
            )
        if self.missing:
            return "worker processes that have not answered: " + ", ".join(map(str, sorted(self.missing)))
        return f"{len(self.workers)} worker processes answered from release {self.release}"


def readiness_of(wanted: Wanted, workers: Iterable[Worker], answers: Iterable[Answer]) -> Readiness:
    """The readiness by the newest answer of each live worker; answers of processes that have ended do not count.

    A process that has loaded nothing yet has not answered.
    """
    alive = frozenset(workers)
    newest = {answer.pid: answer for answer in answers if answer.release is not None or answer.error is not None}
    pids = {worker.pid for worker in alive}
    wrong = tuple(
        answer
        for pid, answer in sorted(newest.items())
        if pid in pids and (answer.error is not None or not answer.has(wanted))
    )
    return Readiness(wanted, alive, frozenset(pids - set(newest)), wrong)
