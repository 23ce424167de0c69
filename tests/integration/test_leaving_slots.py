"""A turn that is given back while its node drains: for a pause, and by an agent that is told to stop."""

import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from da_agent.adapters.dev_clusters import DevCluster, DevNode
from da_agent.domain.node.paths import Paths
from da_agent.domain.store import keys
from tests.clusters_of_witnesses import agent, cluster, section
from tests.supervisorctl import supervisorctl, wait_for

pytestmark = pytest.mark.xdist_group("turns that are given back")

SETTINGS = {"poll interval": 1, "quiet period": 0, "drain": 60, "min healthy": 0, "start timeout": 60}


@pytest.fixture(scope="module")
def made() -> Iterator[DevCluster]:
    with cluster(2, settings=SETTINGS) as made:
        made.wait()
        yield made


def until(true: Callable[[], object], seconds: float = 60.0) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.05)


def drains(node: DevNode) -> bool:
    return Paths(node.root).draining.exists()


def record(made: DevCluster, number: int) -> dict[str, Any]:
    path = Path(made.store.removeprefix("file://")) / keys.rollout_key(number)
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def push(made: DevCluster, folder: Path, greeting: str) -> int:
    """The number of a release that nobody waits for."""
    path = folder / "config.yml"
    path.write_text(f"greeting: {greeting}\n{section(SETTINGS)}")
    done = agent(made, "push", "config", str(path), "--no-wait")
    assert done.returncode == 0, done.stderr
    newest: int = json.loads(agent(made, "history", "--json").stdout)["releases"][0]["number"]
    return newest


def ask_slowly(node: DevNode, seconds: int) -> threading.Thread:
    """A request that keeps the node draining."""
    thread = threading.Thread(target=urllib.request.urlopen, args=(f"{node.http_url}/slow?{seconds}",))
    thread.start()
    return thread


@pytest.mark.parametrize("stop", ["pause", "sync"])
def test_a_node_that_is_stopped_while_it_drains_serves_and_has_no_slot_and_goes_on_later(
    made: DevCluster, tmp_path: Path, stop: str
) -> None:
    visitors = [ask_slowly(node, 25) for node in made.nodes]
    number = push(made, tmp_path, stop)
    until(lambda: any(map(drains, made.nodes)))
    (node,) = filter(drains, made.nodes)
    if stop == "pause":
        assert agent(made, "pause", "--reason", "night shift").returncode == 0
    else:
        supervisorctl(node, "stop", "sync")
        wait_for(node, "sync", "STOPPED")
    until(lambda: not drains(node))
    until(lambda: node.name not in [slot["node"] for slot in record(made, number)["slots"]], 5.0)
    assert record(made, number)["failures"] == []
    if stop == "pause":
        assert agent(made, "resume").returncode == 0
    else:
        supervisorctl(node, "start", "sync")
    watched = agent(made, "status", "--watch")
    assert (watched.returncode, record(made, number)["state"]) == (0, "stable"), watched.stdout
    for visitor in visitors:
        visitor.join()
