"""Does every node state keep the promises of ports.NodeStates?"""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from da_agent.adapters.node_states import NodeStateFile
from da_agent.domain import records
from da_agent.domain.node.node_states import NodeState, Rejection
from da_agent.errors import NodeBroken
from da_agent.ports import NodeStates
from tests.fakes import NOON, MemoryJournals

MAKERS: dict[str, Callable[[Path], NodeStates]] = {
    "file": lambda folder: NodeStateFile(folder / "agent" / "node-state.json"),
    "memory": lambda folder: MemoryJournals(),
}
FAILURE = Rejection(3, "does not start", NOON, log=("a line",))
FULL = NodeState(live=4).reject(FAILURE).begin(5, until=NOON + timedelta(minutes=2))


@pytest.fixture(params=MAKERS)
def node_states(request: pytest.FixtureRequest, tmp_path: Path) -> NodeStates:
    return MAKERS[request.param](tmp_path)


def test_a_new_node_has_no_journal(node_states: NodeStates) -> None:
    assert node_states.load() is None


def test_what_was_saved_last_is_loaded_whole(node_states: NodeStates) -> None:
    node_states.save(NodeState(live=4))
    node_states.save(FULL)
    assert node_states.load() == FULL


def test_another_process_loads_what_this_one_saved(tmp_path: Path) -> None:
    NodeStateFile(tmp_path / "node-state.json").save(FULL)
    assert NodeStateFile(tmp_path / "node-state.json").load() == FULL


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\0" * 200,
        b"{",
        records.encode(FULL).replace(b'"live": 4', b'"live": "four"'),
        records.encode(FULL).replace(b'"format": 1', b'"format": 2'),
        b"\xff",
    ],
)
def test_a_damaged_node_state_is_none_at_all(tmp_path: Path, damage: bytes) -> None:
    assert damage != records.encode(FULL)
    (tmp_path / "node-state.json").write_bytes(damage)
    assert NodeStateFile(tmp_path / "node-state.json").load() is None


def test_a_node_state_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node_states = NodeStateFile(tmp_path / "node-state.json")
    node_states.save(NodeState(live=4))

    def full(path: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(NodeBroken, match=rf"cannot write the node state: the disk of {tmp_path} is full.*make room"):
        node_states.save(NodeState(live=5))
    assert node_states.load() == NodeState(live=4)
    assert [path.name for path in tmp_path.iterdir()] == ["node-state.json"]


def test_saving_leaves_nothing_beside_the_journal(tmp_path: Path) -> None:
    node_states = NodeStateFile(tmp_path / "node-state.json")
    for number in range(3):
        node_states.save(NodeState(live=number))
    assert [path.name for path in tmp_path.iterdir()] == ["node-state.json"]
