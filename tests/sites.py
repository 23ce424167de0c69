"""The real thing: a cluster behind haproxy, as its visitors, its admin and an onlooker see it."""

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import psutil

from da_agent.adapters.dev_clusters import DevCluster, DevNode
from da_agent.domain.node.reports import Phase, Report
from da_agent.errors import NotFound, Unreachable
from da_agent.wiring import NodeAgent
from tests import built, shops
from tests.clusters_of_witnesses import LONG_AGO, agent, cluster, folder, section
from tests.crowds import Crowd, Visit
from tests.haproxies import HAProxy, haproxy
from tests.servers import S3Server

SETTINGS: Mapping[str, object] = {
    "application": shops.APPLICATION,
    "poll interval": 1,
    "quiet period": 0,
    "start timeout": 20,
    "processes": 2,
    "threads": 8,
}
"""Of a site where nothing has to wait for long."""


def configuration(settings: Mapping[str, object]) -> str:
    """config.yml with the section `da agent`."""
    return f"secretkey: abcdefghijklmnop\n{section(settings)}"


class Site:
    """A running site; its first release is version 1 of the shop."""

    def __init__(self, made: DevCluster, proxy: HAProxy, variables: Mapping[str, str], desk: Path) -> None:
        self.cluster = made
        self.proxy = proxy
        self._variables = variables
        self._desk = desk
        self._versions = count(2)
        self._store = _machine(made, variables).store

    @property
    def nodes(self) -> tuple[DevNode, ...]:
        return self.cluster.nodes

    def crowd(self, rate: float = 200.0) -> Crowd:
        return Crowd(self.proxy.url, rate=rate)

    # ---- the admin

    def push(self, *, start: float = 0.0, fault: str | None = None) -> int:
        """Push the next version of the shop (see `shops.wheel`); the number of the release that it has become."""
        return self._release(self.try_to_push(start=start, fault=fault))

    def try_to_push(self, *, start: float = 0.0, fault: str | None = None) -> str:
        """Push the next version; what the command says, which may be that it cannot."""
        wheel = shops.wheel(self._desk, str(next(self._versions)), start=start, fault=fault)
        return self.admin("push", "package", str(wheel), "--no-wait")

    def configure(self, **settings: object) -> int:
        """Push other settings; the names are those of the file with _ for a space."""
        return self._release(self.try_to_configure({name.replace("_", " "): each for name, each in settings.items()}))

    def try_to_configure(self, settings: Mapping[str, object]) -> str:
        """Push other settings; what the command says, which may be that it cannot."""
        path = self._desk / "config.yml"
        path.write_text(configuration({**SETTINGS, **settings}))
        return self.admin("push", "config", str(path), "--no-wait")

    def admin(self, *words: str) -> str:
        """What a command says on an admin's machine, after its exit code."""
        done = agent(self.cluster, *words, variables=self._variables)
        return f"exit code {done.returncode}: {done.stdout}{done.stderr}"

    def _release(self, said: str) -> int:
        found = re.search(r"The inbox is release (\d+)\.", said)
        assert found, said
        return int(found[1])

    # ---- the onlooker

    def reports(self) -> dict[str, Report]:
        """What every node says of itself."""
        return {node_status.report.node: node_status.report for node_status in built.node_statuses(self._store)}

    def rollout(self, release: int) -> dict[str, Any] | None:
        """The record of a release's way through the cluster, as it lies in the store; None when there is none yet."""
        try:
            record: dict[str, Any] = json.loads(self._store.read(f".agent/rollouts/{release:010d}.json").data)
        except NotFound:
            return None
        return record

    def newest_quarantined(self) -> int | None:
        """The newest of the last nine releases whose verdict says so; None while the store does not answer, too."""
        with suppress(Unreachable):
            top = built.ledger(self._store).top().number
            return next((each for each in range(top, max(0, top - 9), -1) if self.state(each) == "quarantined"), None)
        return None

    def state(self, release: int) -> str | None:
        record = self.rollout(release)
        return None if record is None else str(record["state"])

    def whole(self, release: int) -> bool:
        """Whether every node says that it serves `release`, and is visited."""
        said = self.reports()
        return all(
            (report := said.get(node.name)) is not None and (report.release, report.phase) == (release, Phase.SERVING)
            for node in self.nodes
        ) and all(state.up for state in self.proxy.states().values())

    def until(self, true: Callable[[], bool], seconds: float = 120.0) -> float:
        """When it was true, by the monotonic clock; AssertionError with what is known after `seconds`."""
        ends = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < ends, f"not within {seconds} s\n{self}"
            time.sleep(0.05)
        return time.monotonic()

    def until_whole(self, release: int, seconds: float = 120.0) -> float:
        return self.until(lambda: self.whole(release), seconds)

    def __str__(self) -> str:
        lines = [f"{name}: {state}" for name, state in self.proxy.states().items()]
        lines += [
            f"{name}: release {report.release} of {report.target}, {report.phase.value}, {report.problem}"
            for name, report in self.reports().items()
        ]
        lines += [f"{node.name}: {node.logs()}" for node in self.nodes]
        return "\n".join(lines)

    def trace(self, visit: Visit) -> str:
        """What nodes have logged of a visit; "never got to a node" of one that was lost on its way."""
        logs = [node.root / "agent" / "log" / "access.log" for node in self.nodes]
        lines = [line for log in logs if log.exists() for line in log.read_text().splitlines()]
        return "; ".join(line for line in lines if f"visit={visit.name} " in line) or "never got to a node"

    def served_by(self, release: int) -> list[psutil.Process]:
        """The worker processes, also those that should have ended, which are pinned to `release`."""
        pinned = {str(node.root / "releases" / f"{release:010d}" / "webapp.json") for node in self.nodes}
        return [process for process in psutil.process_iter() if pinned & _opened(process)]

    def first_turn(self, release: int, seconds: float = 60.0) -> float:
        """Seconds from the release's being in the ledger to the first turn that a node took for it.

        By the change times of the store's files: only where the store is a directory.
        """
        store = Path(self.cluster.store.removeprefix("file://")) / ".agent"
        record, appended = (store / kind / f"{release:010d}.json" for kind in ("rollouts", "releases"))
        ends = time.monotonic() + seconds
        while not (record.exists() and (said := json.loads(record.read_bytes()))["slots"]):
            assert said["state"] == "open", said
            assert time.monotonic() < ends, f"not within {seconds} s\n{self}"
            time.sleep(0.005)
        return record.stat().st_mtime - appended.stat().st_mtime

    # ---- fate

    def loop(self, node: DevNode) -> psutil.Process:
        """The agent's own process on `node`."""
        assert node.seat.supervisord is not None
        supervisord = node.seat.supervisord.find()
        assert supervisord is not None, f"{node.name} is not running"
        return next(child for child in supervisord.children() if child.cmdline()[-1] == "sync")


def _opened(process: psutil.Process) -> set[str]:
    try:
        return {file.path for file in process.open_files()}
    except psutil.Error:
        return set()


def _machine(made: DevCluster, variables: Mapping[str, str]) -> NodeAgent:
    place = {"DA_AGENT_STORE": made.store, "DA_AGENT_ROOT": str(made.directory / "onlooker")}
    return NodeAgent({**os.environ, **variables, **place})


@contextmanager
def site(
    nodes: int = 4,
    *,
    server: S3Server | None = None,
    settings: Mapping[str, object] | None = None,
    start: float = 0.0,
) -> Iterator[Site]:
    """A whole site of version 1 of the shop: on a directory, or on the S3 server `server`. `settings` add to ours."""
    with ExitStack() as stack:
        desk = stack.enter_context(folder())
        inbox = {
            "config.yml": configuration({**SETTINGS, **(settings or {})}).encode(),
            (wheel := shops.wheel(desk, "1", start=start)).name: wheel.read_bytes(),
        }
        inbox = {name if name == "config.yml" else f"packages/{name}": data for name, data in inbox.items()}
        store = _directory(desk / "store", inbox) if server is None else _bucket(server, inbox)
        keys = {} if server is None else zip(("S3ACCESSKEY", "S3SECRETACCESSKEY"), server.credentials, strict=True)
        variables = dict(keys)
        made = stack.enter_context(cluster(nodes, store, variables, application=None))
        proxy = stack.enter_context(haproxy({node.name: node.seat.http_port for node in made.nodes}))
        built = Site(made, proxy, variables, desk)
        built.until_whole(1, 180.0)
        yield built


def _directory(path: Path, inbox: Mapping[str, bytes]) -> str:
    for name, data in inbox.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
        os.utime(path / name, LONG_AGO)
    return f"file://{path}"


def _bucket(server: S3Server, inbox: Mapping[str, bytes]) -> str:
    location = server.bucket()
    for name, data in inbox.items():
        server.client().put_object(Bucket=location.bucket, Key=name, Body=data)
    return location.url
