"""What came of a visit, and what many of them say together."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

LONG = "long"
"""The kind of visits that take seconds because the application does; the others are of the kinds `kept` and `new`."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One request, which has its `name` in its query: a web server's log tells whether it has got there.

    `began` is of the monotonic clock, which all processes of a machine share.

    `late` is by how many seconds the visitor itself missed its time: much of it makes `seconds` doubtful.
    `cut`: the kept connection was closed instead of an answer so many seconds after the question, and the visitor asked
    on a new one, as browsers do; None when nothing like that happened.
    """

    name: str
    kind: str
    began: float
    late: float
    seconds: float
    status: int | None
    node: str | None
    release: int | None
    version: str | None
    problem: str | None
    cut: float | None

    @property
    def ended(self) -> float:
        return self.began + self.seconds

    def __str__(self) -> str:
        answer = f"{self.problem or self.status} from {self.node or 'no node'}"
        return f"{self.kind} visit {self.name} at {self.began:.3f}: {answer} after {self.seconds:.3f} s"


@dataclass(frozen=True, slots=True)
class Figures:
    """Of many visits. The times, in seconds, are of those that the application answers at once."""

    visits: int
    failed: int
    again: int
    p50: float
    p95: float
    p99: float
    longest: float
    late: float

    def __str__(self) -> str:
        times = f"p50 {self.p50 * 1000:.1f}, p95 {self.p95 * 1000:.1f}, p99 {self.p99 * 1000:.1f}"
        return (
            f"{self.visits} visits, {self.failed} failed, {self.again} asked again; {times}, longest"
            f" {self.longest * 1000:.0f} ms; p99 of the visitors' own lateness {self.late * 1000:.1f} ms"
        )


def figures(visits: Iterable[Visit]) -> Figures:
    every = list(visits)
    seconds = sorted(visit.seconds for visit in every if visit.kind != LONG)
    return Figures(
        visits=len(every),
        failed=sum(visit.problem is not None for visit in every),
        again=sum(visit.cut is not None for visit in every),
        p50=percentile(seconds, 50),
        p95=percentile(seconds, 95),
        p99=percentile(seconds, 99),
        longest=percentile(seconds, 100),
        late=percentile(sorted(visit.late for visit in every), 99),
    )


def percentile(ordered: list[float], percent: float) -> float:
    """The smallest value that at least `percent` of all do not exceed; not a number when there is none."""
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def shares(visits: Iterable[Visit]) -> dict[tuple[str | None, int | None], tuple[float, float, int]]:
    """Which node answered from which release: from when, until when, how often."""
    found: dict[tuple[str | None, int | None], tuple[float, float, int]] = {}
    for visit in visits:
        first, last, count = found.get((visit.node, visit.release), (math.inf, -math.inf, 0))
        found[visit.node, visit.release] = (min(first, visit.began), max(last, visit.ended), count + 1)
    return found
