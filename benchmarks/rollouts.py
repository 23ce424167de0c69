"""A rollout under constant load, against the same load without one, and against what docassemble does today.

    python -m benchmarks.rollouts [--requests 100000] [--max-unavailable N] [--canary N]

Four nodes behind haproxy; one half of the visits comes on kept connections, the other on new ones, and one visit that
takes 4 seconds begins every second. Good pushes follow each other until `--requests` visits were made during rollouts:
from the moment in which the release is in the ledger until all nodes serve it. Then the same load meets plain
Apaches whose WSGI files are touched all at once, with the same import.

How long a rollout takes, the push command included, is measured by pushes without visits of 4 seconds, for which every
node would wait. The limit is what the application's own start and the configured waits must cost: the quiet period, the
poll interval, one import to rehearse, then for each turn one import and the time for which all must be well.

How soon the first node takes its turn is measured on a single node, which would poll once a minute: four on this one
machine rehearse at the same time.
"""

import argparse
import math
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.staging import row, timed
from benchmarks.touched_nodes import touched_nodes
from da_agent.domain.config.settings import Settings
from tests.crowds import Crowd, Visit, figures
from tests.sites import SETTINGS, Site, site

TITLE = "{:<40}"


@dataclass
class Measured:
    """Visits while nothing changed, visits while something did, and how often it did."""

    quiet: list[Visit]
    changing: list[Visit]
    changes: int


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rollouts", description=__doc__)
    parser.add_argument("--requests", type=int, default=4000, help="during rollouts, and again during touches")
    parser.add_argument("--rate", type=float, default=200.0, help="visits a second")
    parser.add_argument("--start", type=float, default=3.0, help="seconds that the application's import takes")
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--max-unavailable", type=int, default=1, help="how many nodes move at a time")
    parser.add_argument("--canary", type=int, default=1, help="how many nodes go first, one at a time")
    parser.add_argument("--pushes", type=int, default=3, help="for the time that a rollout takes")
    chosen = parser.parse_args()
    settings = {**SETTINGS, "max unavailable": chosen.max_unavailable, "canary": chosen.canary}
    with site(chosen.nodes, settings=settings, start=chosen.start) as made:
        ours = measure(made.crowd(chosen.rate), chosen.requests, lambda _: roll(made, chosen.start))
        with Crowd(made.proxy.url, rate=chosen.rate, long_every=3600.0) as swift:
            swift.wait_for(lambda visit: visit.kind == "long")
            seconds = [timed(lambda: roll(made, chosen.start))[1] for _ in range(chosen.pushes)]
    with site(1, settings={**SETTINGS, "poll interval": 60}) as alone:
        first = [first_turn(alone) for _ in range(chosen.pushes)]
    with touched_nodes(chosen.nodes, chosen.start) as touched:
        crowd = Crowd(touched.proxy.url, rate=chosen.rate)
        today = measure(crowd, chosen.requests, lambda coming: all_anew(coming, touched.touch(), chosen.nodes))
    slots = chosen.canary + math.ceil((chosen.nodes - chosen.canary) / chosen.max_unavailable)
    tell(ours, today)
    limit = must_cost(settings, slots, chosen.start)
    print(row("from push to the last node stable", seconds))
    print(f"{TITLE.format('start and configured waits')}{limit:.1f} s, ratio {statistics.median(seconds) / limit:.2f}")
    print(row("from the ledger to the first turn, with notifies", first))


def measure(crowd: Crowd, requests: int, change: Callable[[Crowd], float]) -> Measured:
    """Change again and again, until `requests` visits were made meanwhile; half as many before, without a change.

    `change` returns when it is over, and tells when it began.
    """
    with crowd:
        # Some applications are only imported when the first visitors come.
        crowd.wait_for(lambda visit: visit.kind == "long", 600, count=3)
        began = time.monotonic()
        crowd.wait_for(lambda _: True, 3600, count=requests // 2)
        quiet_until = time.monotonic()
        changes, visits = 0, dict[str, Visit]()
        while len(visits) < requests:
            span = (change(crowd), time.monotonic())
            changes += 1
            # Those that are under way have met the change as well.
            crowd.wait_for(lambda visit, since=span[1]: visit.began > since and visit.kind == "long")  # type: ignore[misc]
            visits |= {visit.name: visit for visit in crowd.between(*span)}
    quiet = [visit for visit in crowd.between(began, quiet_until) if visit.ended < quiet_until]
    return Measured(quiet, list(visits.values()), changes)


def roll(on: Site, start: float) -> float:
    """Push; return when all nodes are whole. Tells when the release was in the ledger."""
    release = on.push(start=start)
    began = time.monotonic()
    on.until_whole(release, 600.0)
    return began


def first_turn(on: Site) -> float:
    """Seconds from the ledger to the first turn; returns when all nodes are whole again."""
    release = on.push()
    seconds = on.first_turn(release)
    on.until_whole(release)
    return seconds


def all_anew(crowd: Crowd, release: int, nodes: int) -> float:
    """Return when every node has answered from `release`, and nobody has had another answer for a second."""
    seen: set[str | None] = set()
    began = old = time.monotonic()

    def done(visit: Visit) -> bool:
        nonlocal old
        if visit.release == release:
            seen.add(visit.node)
        elif visit.kind != "long":
            old = max(old, visit.ended)
        return len(seen) == nodes and visit.ended > old + 1.0

    crowd.wait_for(done, 600.0)
    return began


def must_cost(settings: Mapping[str, object], slots: int, start: float) -> float:
    waits = float(str(settings["quiet period"])) + float(str(settings["poll interval"]))
    return waits + start + slots * (start + Settings().health.minimum.total_seconds())


def tell(ours: Measured, today: Measured) -> None:
    print(f"{version('haproxy', '-v')}; {version('apache2', '-v')}; Python {platform.python_version()}")
    for title, measured in (("rollout", ours), ("all touched at once, as today", today)):
        quiet, changing = figures(measured.quiet), figures(measured.changing)
        print(f"{TITLE.format(title + ': before')}{quiet}")
        print(f"{TITLE.format(f'{title}: during {measured.changes}')}{changing}")
        print(f"{TITLE.format('p99 during / before')}{changing.p99 / quiet.p99:.2f}")


def version(program: str, option: str) -> str:
    said = subprocess.run([f"/usr/sbin/{program}", option], capture_output=True, text=True, check=True).stdout
    return said.splitlines()[0]


if __name__ == "__main__":
    main()
