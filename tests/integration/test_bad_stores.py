"""Another writer of the store spoils every kind of record at once, on a real cluster that goes on."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from da_agent.adapters.dev_clusters import DevCluster
from da_agent.domain.store import keys
from tests.clusters_of_witnesses import agent, cluster, section, witness
from tests.unit.test_bad_records import damaged, good

pytestmark = pytest.mark.xdist_group("one cluster with a bad store")

SETTINGS = {"poll interval": 1, "quiet period": 0, "drain": 0, "min healthy": 0}


@pytest.fixture(scope="module")
def spoilt() -> Iterator[DevCluster]:
    with cluster(2, settings=SETTINGS) as made:
        made.wait()
        yield made


def type_(made: DevCluster, *arguments: str, code: int = 0) -> str:
    """What a command prints; it must end with `code`."""
    words = {name: value for name, value in made.nodes[0].environment.items() if name.startswith("DASUPERVISOR")}
    done = agent(made, *arguments, variables=words)
    assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def push(made: DevCluster, folder: Path, greeting: str) -> int:
    """The number of a release that both nodes serve."""
    config = folder / "config.yml"
    config.write_text(f"greeting: {greeting}\n{section(SETTINGS)}")
    said = type_(made, "push", "config", str(config))
    assert "is stable: served by 2 nodes" in said, said
    assert [witness(node)["greeting"] for node in made.nodes] == [greeting, greeting]
    status = json.loads(type_(made, "status", "--json"))
    return int(status["cluster"]["release"]["number"])


@pytest.mark.parametrize("kind", ["nested", "nested in a key", "cut", "too large", "year one", "year 9999"])
def test_the_cluster_goes_on_and_names_what_is_bad(spoilt: DevCluster, tmp_path: Path, kind: str) -> None:
    store = Path(spoilt.store.removeprefix("file://"))
    first = push(spoilt, tmp_path, f"{kind}, before")
    number = push(spoilt, tmp_path, f"{kind}, newest")
    assert number == first + 1

    def spoil(place: str, key: str) -> str:
        path = store / key
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name("unfinished")
        unfinished.write_bytes(damaged(good(place))[kind])
        unfinished.replace(path)
        return key

    named = [
        spoil("report", keys.node_key("gone")),
        spoil("no node", keys.node_key("no node")),
        spoil("twin", keys.twin_key("gone")),
        spoil("left", keys.left_key("left")),
        spoil("release", keys.release_key(number)),
        spoil("rollout", keys.rollout_key(number)),
        spoil("release", keys.release_key(9_999_999_999)),
    ]
    spoil("rollout", keys.rollout_key(9_999_999_999))
    spoil("own report", keys.node_key(spoilt.nodes[0].name))
    spoil("verdict", keys.VERDICT)
    spoil("lease", keys.INBOX_LEADER)
    spoil("lease", keys.PUBLISHING)
    spoil("lease", keys.GC_LOCK)

    problems = json.loads(type_(spoilt, "status", "--json"))["cluster"]["problems"]
    assert [key for key in named if not any(f"{key} " in problem for problem in problems)] == []
    assert all(witness(node)["greeting"] == f"{kind}, newest" for node in spoilt.nodes)
    assert keys.release_key(number) in type_(spoilt, "history")

    removed = type_(spoilt, "gc", code=10)
    assert keys.node_key("gone") in removed
    assert keys.release_key(number) in removed

    third = push(spoilt, tmp_path, f"{kind}, after")
    assert third == number + 1
    type_(spoilt, "rollback", str(first))
    assert [witness(node)["greeting"] for node in spoilt.nodes] == [f"{kind}, before"] * 2

    for key in named:
        (store / key).unlink()
    type_(spoilt, "gc")
