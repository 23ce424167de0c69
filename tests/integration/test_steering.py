"""What an admin types at night, on one real cluster: each test leaves it whole for the next."""

import json
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from da_agent.adapters.dev_clusters import DevCluster
from tests.clusters_of_witnesses import agent, cluster, witness

pytestmark = pytest.mark.xdist_group("one cluster at night")

SETTINGS = """\
da agent:
  poll interval: 1
  quiet period: 0
  drain: 0
  min healthy: 0
  start timeout: 60
"""


@pytest.fixture(scope="module")
def night() -> Iterator[DevCluster]:
    with cluster(2, settings={"quiet period": 0, "min healthy": 0}) as made:
        made.wait()
        yield made


def type_(made: DevCluster, *arguments: str, code: int = 0) -> str:
    """What a command prints; it must end with `code`."""
    done = agent(made, *arguments)
    assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def newest(made: DevCluster) -> int:
    return int(json.loads(type_(made, "history", "--json"))["releases"][0]["number"])


def config(folder: Path, greeting: str, more: str = "") -> str:
    path = folder / "config.yml"
    path.write_text(f"greeting: {greeting}\n{SETTINGS}{more}")
    return str(path)


def greetings(made: DevCluster) -> list[str]:
    return [witness(node)["greeting"] for node in made.nodes]


def processes(made: DevCluster) -> set[int]:
    """Those that answer; each node has several."""
    return {int(witness(node)["pid"]) for node in made.nodes for _ in range(6)}


@pytest.fixture
def good(night: DevCluster, tmp_path: Path) -> int:
    """A stable release that says Good."""
    said = type_(night, "push", "config", config(tmp_path, "Good"))
    number = newest(night)
    assert f"Release {number} is stable: served by 2 nodes" in said
    return number


def test_a_rollback_takes_the_nodes_back_and_says_so(night: DevCluster, good: int, tmp_path: Path) -> None:
    planned = type_(night, "plan", "config", config(tmp_path, "Other"))
    assert "~ greeting: ******** -> ********" in planned, "nobody knows whether an application's own key holds a secret"
    assert "Each node: reload" in planned
    assert "Nodes: 2 alive, 1 at a time, canary nodes first: 1" in planned
    assert "Capacity: 1 of 2 nodes serve at any moment" in planned
    assert newest(night) == good, "a plan pushes nothing"
    type_(night, "push", "config", config(tmp_path, "Other"))
    assert greetings(night) == ["Other", "Other"]

    said = type_(night, "rollback")
    assert f"Release {good + 2} has the contents of release {good} again." in said
    assert f"Release {good + 2} is stable" in said
    assert greetings(night) == ["Good", "Good"]
    status = type_(night, "status")
    assert f"Release: {good + 2}, a rollback to {good}, " in status
    assert f"Rollout of release {good + 2}: stable, 2 of 2 nodes updated" in status
    assert "nothing to do" in type_(night, "rollback", str(good), code=3)
    assert "Nothing would change" in type_(night, "plan")


def test_a_restart_serves_the_same_from_new_processes(night: DevCluster, good: int) -> None:
    before = processes(night)
    assert f"Release {good + 1} is stable" in type_(night, "restart", "--reason", "more memory")
    after = processes(night)
    assert before & after == set()
    assert greetings(night) == ["Good", "Good"]
    assert all(psutil.pid_exists(pid) for pid in after)


def test_a_pause_holds_a_push_until_somebody_resumes(night: DevCluster, good: int, tmp_path: Path) -> None:
    name = night.nodes[0].name
    assert "Paused" in type_(night, "pause", "--reason", "night shift")
    pushed = config(tmp_path, "Paused")
    type_(night, "push", "config", pushed, "--no-wait")
    late = type_(night, "publish", "--timeout", "1", code=12)
    assert "night shift" in late
    assert "da-agent resume" in late
    assert "The cluster is paused by " in type_(night, "why", name)
    assert "Paused by " in type_(night, "plan", "config", config(tmp_path, "Else"))
    assert greetings(night) == ["Good", "Good"]
    assert f"the nodes go on to release {good + 1}" in type_(night, "resume")
    watched = type_(night, "status", "--watch")
    assert f"Release {good + 1} is stable" in watched
    assert greetings(night) == ["Paused", "Paused"]
    assert "It serves the newest release." in type_(night, "why", name)


def test_a_bad_push_is_quarantined_and_a_retry_lets_it_be_tried_again(
    night: DevCluster, good: int, tmp_path: Path
) -> None:
    bad = config(tmp_path, "Bad", "  application: no_such_module:application\n")
    said = type_(night, "push", "config", bad, code=14)
    assert f"release {good + 1} is quarantined: " in said
    assert "no_such_module" in said
    assert greetings(night) == ["Good", "Good"]
    assert "is quarantined" in type_(night, "status", "--watch", code=14)
    assert "is quarantined" in type_(night, "rollback", str(good + 1), code=3)
    assert "no_such_module" in type_(night, "why", night.nodes[1].name)
    assert f"Release {good + 1} is retried" in type_(night, "retry", str(good + 1), "--reason", "try")
    # It is as bad as before.
    assert "no_such_module" in type_(night, "status", "--watch", code=14)
    assert greetings(night) == ["Good", "Good"]
    assert "not quarantined" in type_(night, "retry", str(good), "--reason", "why not", code=3)
    unknown = type_(night, "why", "nobody", code=8)
    assert all(node.name in unknown for node in night.nodes)
