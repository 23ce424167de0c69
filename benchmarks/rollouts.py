"""A rollout under constant load, against the same load without one, and against what docassemble does today.

    python -m benchmarks.rollouts [--requests 100000] [--max-unavailable N] [--canary N] [--drain SECONDS]

Four nodes behind haproxy; one half of the visits comes on kept connections, the other on new ones, and one visit that
takes 4 seconds begins every second. Good pushes follow each other until `--requests` visits were made during rollouts.
Then the same load meets plain Apaches whose WSGI files are touched all at once, with the same import.

A limit for the time of a rollout is what the application's own start and the configured waits must cost: the quiet
period, the poll interval, one import to rehearse, then for each turn the drain and one import.
"""

import argparse
import math
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.touched_nodes import touched_nodes
from tests.crowds import Crowd, Visit, figures
from tests.sites import SETTINGS, Site, site

TITLE = "{:<40}"


@dataclass
class Measured:
    """Visits while nothing changed, visits while something did, and how long each change took in seconds."""

    quiet: list[Visit]
    changing: list[Visit]
    seconds: list[float]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rollouts", description=__doc__)
    parser.add_argument("--requests", type=int, default=4000, help="during rollouts, and again during touches")
    parser.add_argument("--rate", type=float, default=200.0, help="visits a second")
    parser.add_argument("--start", type=float, default=3.0, help="seconds that the application's import takes")
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--max-unavailable", type=int, help="how many nodes move at a time; all when not given")
    parser.add_argument("--canary", type=int)
    parser.add_argument("--drain", type=int)
    chosen = parser.parse_args()
    given = {"max unavailable": chosen.max_unavailable, "canary": chosen.canary, "drain": chosen.drain}
    settings = {**SETTINGS, **{name: value for name, value in given.items() if value is not None}}
    with site(chosen.nodes, settings=settings, start=chosen.start) as made:
        ours = measure(made.crowd(chosen.rate), chosen.requests, lambda _: push(made, chosen.start))
    with touched_nodes(chosen.nodes, chosen.start) as touched:
        crowd = Crowd(touched.proxy.url, rate=chosen.rate)
        today = measure(crowd, chosen.requests, lambda coming: all_anew(coming, touched.touch(), chosen.nodes))
    tell(ours, today, must_cost(settings, chosen.nodes, chosen.start))


def measure(crowd: Crowd, requests: int, change: Callable[[Crowd], None]) -> Measured:
    """Change again and again, until `requests` visits were made meanwhile; half as many before, without a change."""
    with crowd:
        # Some applications are only imported when the first visitors come.
        crowd.wait_for(lambda visit: visit.kind == "long", 600, count=3)
        began = time.monotonic()
        crowd.wait_for(lambda _: True, 3600, count=requests // 2)
        quiet_until = time.monotonic()
        spans: list[tuple[float, float]] = []
        visits: dict[str, Visit] = {}
        while len(visits) < requests:
            begin = time.monotonic()
            change(crowd)
            spans.append((begin, time.monotonic()))
            # Those that are under way have met the change as well.
            crowd.wait_for(lambda visit, since=spans[-1][1]: visit.began > since and visit.kind == "long")  # type: ignore[misc]
            visits |= {visit.name: visit for visit in crowd.between(*spans[-1])}
    quiet = [visit for visit in crowd.between(began, quiet_until) if visit.ended < quiet_until]
    return Measured(quiet, list(visits.values()), [end - begin for begin, end in spans])


def push(on: Site, start: float) -> None:
    on.until_whole(on.push(start=start), 600.0)


def all_anew(crowd: Crowd, release: int, nodes: int) -> None:
    """Return when every node has answered from `release`, and nobody has had another answer for a second."""
    seen: set[str | None] = set()
    old = time.monotonic()

    def done(visit: Visit) -> bool:
        nonlocal old
        if visit.release == release:
            seen.add(visit.node)
        elif visit.kind != "long":
            old = max(old, visit.ended)
        return len(seen) == nodes and visit.ended > old + 1.0

    crowd.wait_for(done, 600.0)


def must_cost(settings: dict[str, object], nodes: int, start: float) -> float:
    def number(name: str, otherwise: int) -> int:
        return int(str(settings.get(name, otherwise)))

    canary = number("canary", 0)
    turns = (1 if canary else 0) + math.ceil((nodes - canary) / number("max unavailable", nodes))
    waits = number("quiet period", 3) + number("poll interval", 10)
    return waits + start + turns * (number("drain", 0) + start)


def tell(ours: Measured, today: Measured, limit: float) -> None:
    print(f"{version('haproxy', '-v')}; {version('apache2', '-v')}; Python {platform.python_version()}")
    for title, measured in (("rollout", ours), ("all touched at once, as today", today)):
        quiet, changing = figures(measured.quiet), figures(measured.changing)
        print(f"{TITLE.format(title + ': before')}{quiet}")
        print(f"{TITLE.format(title + ': during')}{changing}")
        print(f"{TITLE.format('p99 during / before')}{changing.p99 / quiet.p99:.2f}")
    median = statistics.median(ours.seconds)
    spread = f"({min(ours.seconds):.1f} to {max(ours.seconds):.1f}, {len(ours.seconds)} rollouts)"
    print(f"{TITLE.format('from push to the last node proven')}{median:.1f} s {spread}")
    print(f"{TITLE.format('start and configured waits')}{limit:.1f} s, ratio {median / limit:.2f}")


def version(program: str, option: str) -> str:
    said = subprocess.run([f"/usr/sbin/{program}", option], capture_output=True, text=True, check=True).stdout
    return said.splitlines()[0]


if __name__ == "__main__":
    main()
