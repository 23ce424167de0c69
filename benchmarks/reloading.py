"""What a reload costs those who are being served: ours, a plain touch and `apachectl graceful`, against no reload.

    python -m benchmarks.reloading [--requests 4000] [--peers 4000] [--rate 200] [--import sleep|cpu] [--seconds 3]

One Apache, 2 processes x 8 threads, an application that takes some seconds to import. The schemes take turns in rounds
of ten seconds, with one reload a second after the begin of each, so that the noise of the machine falls on all alike.
The table has the failed requests and the latencies of all rounds of a scheme, and the ratio of its p99 to that of the
rounds without a reload. One request in two hundred takes 3 s: it may not fail, and is left out of the latencies.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from da_agent.adapters.apache import processes
from tests.integration.apaches import Web, web

PATIENCE = timedelta(seconds=120)
ROUND = 10.0
"""Seconds."""

SLEEP = "time.sleep({seconds})"
CPU = "ends = time.process_time() + {seconds}\nwhile time.process_time() < ends: sum(range(1000))"
APPLICATION = """
import json, os, time
{load}
def application(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(3)
    body = json.dumps({{"version": "{version}", "pid": os.getpid()}}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
"""


@dataclass
class Tally:
    """What came of the requests of one scheme."""

    reload: Callable[[Web, int], None]
    seconds: list[float] = field(default_factory=list)
    requests: int = 0
    failures: list[str] = field(default_factory=list)
    closed: int = 0
    reloads: int = 0

    def percentile(self, share: float) -> float:
        ordered = sorted(self.seconds)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def nothing(_node: Web, _number: int) -> None:
    """No reload."""


def ours(node: Web, number: int) -> None:
    node.switch(number)
    node.apache.serve(number, PATIENCE)


def touch(node: Web, number: int) -> None:
    """As the seed does it: the switch, then the script's time."""
    _pin(node, number)
    node.apache.reload()


def graceful(node: Web, number: int) -> None:
    _pin(node, number)
    parent = node.runner.pid("apache2")
    assert parent is not None
    processes.restart_gracefully(parent)


def _pin(node: Web, number: int) -> None:
    """What the live group serves when its processes start, as with a single group."""
    node.switch(number)
    link = node.paths.pin(node.paths.groups.read_text().split()[1])
    link.unlink()
    link.symlink_to(node.paths.release(number))


SCHEMES = {"nothing": nothing, "ours": ours, "touch": touch, "graceful": graceful}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reloading", description=__doc__)
    parser.add_argument("--requests", type=int, default=4000, help="for our own scheme")
    parser.add_argument("--peers", type=int, default=4000, help="for each of the others")
    parser.add_argument("--rate", type=float, default=200.0, help="requests per second")
    parser.add_argument("--import", dest="kind", choices=("sleep", "cpu"), default="sleep")
    parser.add_argument("--seconds", type=float, default=3.0, help="that the import takes")
    parser.add_argument("--schemes", nargs="+", default=list(SCHEMES), choices=SCHEMES)
    chosen = parser.parse_args()
    each = int(ROUND * chosen.rate)
    rounds, peers = -(-chosen.requests // each), -(-chosen.peers // each)
    tallies = {name: Tally(SCHEMES[name]) for name in ("nothing", *chosen.schemes)}
    with web() as node:
        load = (SLEEP if chosen.kind == "sleep" else CPU).format(seconds=chosen.seconds)
        for number in (1, 2):
            node.stage(number, {"hello.py": APPLICATION.format(load=load, version=number)})
        node.serve(1)
        live = 1
        for slot in range(max(rounds, peers)):
            for name, tally in tallies.items():
                # Peers take part in rounds that are spread over the whole run.
                wanted = rounds if name == "ours" else peers
                if (slot + 1) * wanted // max(rounds, peers) == slot * wanted // max(rounds, peers):
                    continue
                following = live if name == "nothing" else 3 - live
                measure(node, tally, following, chosen.rate, each)
                live = following
            print(f"round {slot + 1} of {max(rounds, peers)}", file=sys.stderr, flush=True)
    print(f"import: {chosen.seconds:g} s ({chosen.kind}), {chosen.rate:g} requests/s, {versions()}")
    report(tallies)


def measure(node: Web, tally: Tally, number: int, rate: float, count: int) -> None:
    arguments = (sys.executable, "-m", "benchmarks.open_loops", "127.0.0.1", str(node.node.http_port), str(rate))
    with subprocess.Popen((*arguments, str(count)), stdout=subprocess.PIPE, text=True) as generator:
        time.sleep(1.5)
        tally.reload(node, number)
        said, _ = generator.communicate()
    results, closed = json.loads(said)
    tally.reloads += tally.reload is not nothing
    tally.requests += len(results)
    tally.closed += closed
    tally.failures += [problem for _, _, problem, _ in results if problem is not None]
    tally.seconds += [seconds for seconds, slow, _, _ in results if not slow]
    # The rest of a peer's reload is not to fall upon the next scheme.
    readiness = node.probe(number, 60)
    assert readiness.holds, str(readiness)


def report(tallies: dict[str, Tally]) -> None:
    print("| scheme | reloads | requests | failed | closed while idle | p50 ms | p99 ms | max ms | p99 / idle |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    idle = tallies["nothing"].percentile(0.99)
    for name, tally in tallies.items():
        latencies = " | ".join(f"{tally.percentile(share):.1f}" for share in (0.5, 0.99, 1.0))
        ratio = tally.percentile(0.99) / idle
        counts = f"{tally.reloads} | {tally.requests} | {len(tally.failures)} | {tally.closed}"
        print(f"| {name} | {counts} | {latencies} | {ratio:.2f} |")
    for name, tally in tallies.items():
        for problem in sorted(set(tally.failures)):
            print(f"{name}: {tally.failures.count(problem)} x {problem}")


def versions() -> str:
    apache = subprocess.run(["/usr/sbin/apache2", "-v"], capture_output=True, text=True, check=True).stdout
    package = ("dpkg-query", "-W", "-f", "${Version}", "libapache2-mod-wsgi-py3")
    wsgi = subprocess.run(package, capture_output=True, text=True, check=True).stdout
    return f"{apache.split()[2]}, mod_wsgi {wsgi}, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
