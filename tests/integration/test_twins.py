"""Real nodes of which two have one name, as after a machine was cloned."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from da_agent.adapters.dev_clusters import DevCluster
from da_agent.adapters.identities import identity
from da_agent.domain.store import keys
from tests.clusters_of_witnesses import agent, create, folder, section, witness

pytestmark = pytest.mark.xdist_group("twins")

SETTINGS = {"poll interval": 1, "quiet period": 0, "min healthy": 0, "start timeout": 60}


@pytest.fixture(scope="module")
def made() -> Iterator[DevCluster]:
    """Two nodes that serve, and a third one with the name of the first."""
    with folder() as path:
        made = create(path, 3)
        first, second, twin = made.nodes
        twin.seat.name = first.name
        (path / "store" / "config.yml").write_text(section(SETTINGS))
        try:
            for node in (first, second):
                node.start()
            for node in (first, second):
                node.wait(1, 180.0)
            twin.start()
            twin.wait(1, 180.0)
            yield made
        finally:
            left = made.stop()
        assert left == [], "processes that supervisord left behind"


def until(true: Callable[[], object], seconds: float = 120.0) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.2)


def told(made: DevCluster) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(agent(made, "status", "--json").stdout)["cluster"]["twins"]
    return found


def test_the_second_of_two_nodes_with_one_name_stays_where_it_is_and_is_told_of(
    made: DevCluster, tmp_path: Path
) -> None:
    first, _, twin = made.nodes
    until(lambda: told(made))
    (pair,) = told(made)
    assert (pair["node"], pair["address"]) == ("node1", f"127.0.0.1:{first.seat.http_port}")
    assert pair["other_address"] == f"127.0.0.1:{twin.seat.http_port}"
    path = tmp_path / "config.yml"
    path.write_text(f"greeting: hello\n{section(SETTINGS)}")
    done = agent(made, "push", "config", str(path))
    assert done.returncode == 0, done.stderr
    record = json.loads((Path(made.store.removeprefix("file://")) / keys.rollout_key(2)).read_bytes())
    assert sorted(record["updated"]) == ["node1", "node2"]
    assert [witness(node)["release"] for node in made.nodes] == [2, 2, 1]
    assert "Two machines report as node1" in agent(made, "status").stdout
    log = "".join(each.read_text(errors="replace") for each in (twin.root / "agent" / "log").glob("*"))
    assert "another machine reports as node1, too" in log


def test_an_identity_is_the_same_for_all_processes_of_a_node_and_no_other_node_has_it(tmp_path: Path) -> None:
    ours = identity(tmp_path, "0.0.0.0:80")
    assert identity(tmp_path / "." / "x" / "..", "0.0.0.0:80") == ours
    assert len({ours, identity(tmp_path / "copy", "0.0.0.0:80"), identity(tmp_path, "0.0.0.0:81")}) == 3
