"""What `sync` costs at rest: memory, processor and requests, beside a process that only asks boto3 for an object.

    python -m benchmarks.idling [--polls N] [--releases M]        (a day's worth of polls, and a hundred releases)

A whole node with its own Apache runs on a store; its loop runs in a process of its own, with the waits between polls
taken out. Memory is what psutil calls resident. A poll's share of a core is for one every ten seconds.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psutil

from da_agent.domain.config.settings import Settings
from da_agent.domain.store import keys
from da_agent.ports import Always, Store
from da_agent.wiring import NodeAgent
from tests import clusters_of_witnesses, servers, supervisorctl

INTERVAL = 10.0
PAUSE = timedelta(milliseconds=1)
PEER = """\
import json, sys, boto3, psutil
from botocore.exceptions import ClientError
client = boto3.client("s3", endpoint_url=sys.argv[1], region_name="us-east-1")
process = psutil.Process()
def get():
    try: client.get_object(Bucket=sys.argv[2], Key="nothing")
    except ClientError: pass
get()
start, used = process.memory_info().rss, sum(process.cpu_times()[:2])
for _ in range(int(sys.argv[3])): get()
taken = (sum(process.cpu_times()[:2]) - used) / int(sys.argv[3])
print(json.dumps({"start": start, "polled": process.memory_info().rss, "processor": taken, "requests": 1.0}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.idling", description=__doc__)
    parser.add_argument("--polls", type=int, default=8640)
    parser.add_argument("--releases", type=int, default=100)
    parser.add_argument("--loop", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.loop:
        print(json.dumps(Loop(chosen.polls, chosen.releases).run()), flush=True)
        return
    print(f"{'':<22}{'start':>8}{'polls':>8}{'releases':>9}   of a core   requests a poll")
    with servers.ministack() as server:
        bucket = server.bucket()
        variables = server.environment()
        peer = (sys.executable, "-c", PEER, server.endpoint_url, bucket.bucket, str(chosen.polls // 4))
        row("boto3 alone", output(peer, {**os.environ, **variables}))
        row("sync, S3", measured(bucket.url, variables, chosen.polls, chosen.releases))
    row("sync, directory", measured(None, {}, chosen.polls, chosen.releases))


def measured(store: str | None, variables: Mapping[str, str], polls: int, releases: int) -> dict[str, Any]:
    with clusters_of_witnesses.cluster(1, store, variables) as cluster:
        cluster.wait()
        (node,) = cluster.nodes
        supervisorctl.supervisorctl(node, "stop", "sync")
        command = (sys.executable, "-m", "benchmarks.idling", "--loop", f"--polls={polls}", f"--releases={releases}")
        return output(command, {**node.environment, "DA_AGENT_STORE": cluster.store})


class Patient(NodeAgent):
    """Waits for nothing."""

    def live_settings(self) -> Settings:
        return replace(super().live_settings(), poll_interval=PAUSE)


class Loop:
    """Runs `sync`'s loop, and looks at its own process from the hook that asks whether the node is intact."""

    def __init__(self, polls: int, releases: int) -> None:
        self._polls = polls
        self._releases = releases
        self._machine = Patient()
        self._process = psutil.Process()
        self._requests = 0
        self._number = 0
        self._found: dict[str, float] = {}

    def run(self) -> dict[str, float]:
        self._machine.prepare()
        with ExitStack() as stack:
            self._machine.watch(stack)
            count(self._machine.store, self._sent)
            self._machine.reconciler.run(self._goes_on)
        return self._found

    def _sent(self, **_: object) -> None:
        self._requests += 1

    def _goes_on(self) -> bool:
        number, self._number = self._number, self._number + 1
        if number == 20:
            self._found = {"start": self._memory(), "processor": self._processor(), "requests": self._requests}
        if number == 20 + self._polls:
            self._found["polled"] = self._memory()
            for name, now in (("processor", self._processor()), ("requests", self._requests)):
                self._found[name] = (now - self._found[name]) / self._polls
        return number < 20 + self._polls or self._release()

    def _release(self) -> bool:
        """One more, once the last one is served."""
        live = self._machine.node_states.load()
        served = 0 if live is None or live.live is None else live.live
        if served > self._releases:
            self._found["released"] = self._memory()
            return False
        body = f"da agent:\n  quiet period: 0\ngreeting: release {served + 1}\n"
        if self._machine.store.read(keys.CONFIG).data != body.encode():
            self._machine.store.write(keys.CONFIG, body.encode(), Always())
        return True

    def _memory(self) -> float:
        return float(self._process.memory_info().rss)

    def _processor(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system


def count(store: Store, sent: Callable[..., None]) -> None:
    """Call `sent` with each request that goes to S3; a directory has none."""
    clients = getattr(store, "_clients", None)
    for client in (clients.patient, clients.single_try) if clients is not None else ():
        client.meta.events.register("before-send.s3", sent)


def output(command: tuple[str, ...], environment: Mapping[str, str]) -> dict[str, Any]:
    # What else the loop says goes to stderr.
    done = subprocess.run(command, env=dict(environment), stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def row(title: str, found: Mapping[str, float]) -> None:
    memory = "".join(
        f"{found[name] / 1e6:>6.1f} MB" if name in found else f"{'':>9}" for name in ("start", "polled", "released")
    )
    share = found["processor"] / INTERVAL
    print(f"{title:<22}{memory}   {share:>8.3%}   {found['requests']:>8.2f}", flush=True)


if __name__ == "__main__":
    main()
