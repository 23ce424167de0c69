"""What a rollout asks of the store, by the number of nodes, in the simulated cluster of the tests.

    python -m benchmarks.scales [NODES…]                (10, 100 and 1000)

Requests are counted from the append to the verdict; those that the same cluster would have made in the same time had
nothing happened are taken away. Printed per node, for one node at a time and for a tenth of them at a time.
"""

import argparse
from dataclasses import replace

from da_agent.domain.config.strategies import Share, Strategy
from tests.simulation.faults import POLICY, Fault
from tests.simulation.worlds import World, play

SHARES = {"a tenth at a time": Share(10, percent=True), "one at a time": Share(1)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scales", description=__doc__)
    parser.add_argument("nodes", nargs="*", type=int, default=[10, 100, 1000])
    chosen = parser.parse_args()
    print(f"{'strategy':<20}{'nodes':>8}{'seconds':>10}{'requests':>12}{'per node':>10}{'idle, per node':>16}")
    for title, share in SHARES.items():
        for nodes in chosen.nodes:
            row(title, nodes, replace(POLICY, max_unavailable=share))


def row(title: str, nodes: int, strategy: Strategy) -> None:
    quiet = play(1, nodes, [], strategy=strategy, patience=36000)
    world = play(1, nodes, [Fault(0.5, "push")], strategy=strategy, patience=36000)
    seconds, requests = world.time - quiet.time, world.requests - quiet.requests
    idle = idling(quiet, seconds)
    beyond = requests - idle
    print(f"{title:<20}{nodes:>8}{seconds:>10.0f}{beyond:>12}{beyond / nodes:>10.1f}{idle / nodes:>16.1f}", flush=True)


def idling(world: World, seconds: float) -> int:
    """What the cluster asks in so many seconds in which nothing happens."""
    before = world.requests
    world.run(world.time + seconds)
    return world.requests - before


if __name__ == "__main__":
    main()
