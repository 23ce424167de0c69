"""At a first start one node publishes for all: what the others do when it is killed or suspended meanwhile."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from da_agent.adapters.dev_clusters import DevCluster, DevNode
from da_agent.domain.store import keys
from tests import packages
from tests.clusters_of_witnesses import LONG_AGO, cluster, folder, section

T = TypeVar("T")

WAITS = """
import os, time
while not os.path.exists({gate!r}):
    time.sleep(0.05)
"""


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "suspended"])
def test_the_other_nodes_start_without_a_publisher_that_works_no_longer(killed: bool) -> None:
    with folder() as path:
        store, gate = path / "store", path / "gate"
        (store / "packages").mkdir(parents=True)
        # Its build ends when the test says so: until then the publisher is at work.
        packages.sdist(store / "packages", "slow", "1.0", {"slow": ""}, setup=WAITS.format(gate=str(gate)))
        (store / "config.yml").write_text(f"secretkey: abcdefghijklmnop\n{section({'quiet period': 0})}")
        for each in (store / "config.yml", *(store / "packages").iterdir()):
            os.utime(each, LONG_AGO)
        with cluster(3, f"file://{store}") as made:
            first = wait_for(lambda: publisher(made, store), "no node publishes")
            process = wait_for(lambda: at_work(first), f"{first.name} builds nothing")
            if killed:
                for one in (*process.children(recursive=True), process):
                    one.kill()
            else:
                process.suspend()
            # A killed one is started again, and may be the one that goes on; a suspended one loses the lease.
            wait_for(lambda: anew(made, store, process), "the lease stays with a process that is gone")
            gate.touch()
            for node in made.nodes:
                if killed or node is not first:
                    node.wait(1, 300)
            if not killed:
                process.resume()
            first.wait(1, 300)
            assert [path.name for path in (store / keys.RELEASES).iterdir()] == ["0000000001.json"]


def publisher(made: DevCluster, store: Path) -> DevNode | None:
    """The node that has the lease for publishing."""
    try:
        holder = json.loads((store / keys.PUBLISHING).read_bytes())["holder"]
    except FileNotFoundError:
        return None
    return next((node for node in made.nodes if node.name == holder), None)


def at_work(node: DevNode) -> psutil.Process | None:
    """The program that publishes on `node`, once it has started a build."""
    try:
        found = [process for process in supervised(node) if process.cmdline()[-1:] == ["initialize"]]
        return next((process for process in found if process.children()), None)
    except psutil.NoSuchProcess:
        return None


def anew(made: DevCluster, store: Path, before: psutil.Process) -> psutil.Process | None:
    """The process that publishes now, when it is another one than `before` and works."""
    node = publisher(made, store)
    found = None if node is None else at_work(node)
    return None if found is None or found.pid == before.pid else found


def supervised(node: DevNode) -> list[psutil.Process]:
    supervisord = node.seat.supervisord.find() if node.seat.supervisord is not None else None
    return [] if supervisord is None else supervisord.children()


def wait_for(find: Callable[[], T | None], otherwise: str) -> T:
    ends = time.monotonic() + 300
    while not (found := find()):
        assert time.monotonic() < ends, otherwise
        time.sleep(0.02)
    return found
