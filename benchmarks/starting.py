"""How long `da-agent` takes until it has done nothing, against `python -c "import boto3"`.

    python -m benchmarks.starting [--rounds N]

The commands take turns, in processes of their own, with warm bytecode; the table has medians of the time on the clock
and of the processor's, and their ratios to the peer's.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence

PEER = "import boto3"
COMMANDS: Mapping[str, Sequence[str]] = {
    PEER: ("-c", "import boto3"),
    "da-agent --help": ("-m", "da_agent", "--help"),
    "da-agent status": ("-m", "da_agent", "status"),
    "nothing": ("-c", ""),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.starting", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="da-bench-") as folder:
        store = {"DA_AGENT_STORE": f"file://{folder}", "DA_AGENT_ROOT": f"{folder}/nowhere"}
        environment = {**os.environ, **store}
        for arguments in COMMANDS.values():
            run(arguments, environment)
        taken: dict[str, list[tuple[float, float]]] = {title: [] for title in COMMANDS}
        for _ in range(rounds):
            for title, arguments in COMMANDS.items():
                taken[title].append(run(arguments, environment))
    table({title: (median(each, 0), median(each, 1)) for title, each in taken.items()})


def run(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[float, float]:
    """Seconds on the clock, and of the processor."""
    began, used = time.monotonic(), children()
    subprocess.run([sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - began, children() - used


def children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def median(taken: Sequence[tuple[float, float]], column: int) -> float:
    return statistics.median(each[column] for each in taken)


def table(medians: Mapping[str, tuple[float, float]]) -> None:
    peer = medians[PEER]
    print(f"{'':<20}{'clock':>10}{'ratio':>8}{'processor':>12}{'ratio':>8}")
    for title, (clock, processor) in medians.items():
        ratios = clock / peer[0], processor / peer[1]
        print(f"{title:<20}{clock * 1000:>7.0f} ms{ratios[0]:>8.2f}{processor * 1000:>9.0f} ms{ratios[1]:>8.2f}")


if __name__ == "__main__":
    main()
