"""What killed processes have left is removed by the next start."""

from pathlib import Path

from da_agent.domain.store.blobs import Blob
from da_agent.wiring import NodeAgent


def agent(desk: Path) -> NodeAgent:
    (desk / "store").mkdir(exist_ok=True)
    variables = {"DA_AGENT_STORE": f"file://{desk / 'store'}", "DA_AGENT_ROOT": str(desk / "node")}
    return NodeAgent({**variables, "DA_AGENT_NODE": "web-1", "PATH": "/usr/bin:/bin"})


def left(machine: NodeAgent) -> list[Path]:
    """An unfinished file, and one in the folder for unfinished ones."""
    found = [machine.paths.agent / ".node-state.json.0123456789ab.new", machine.paths.scratch / "x"]
    for path in found:
        path.write_text("half")
    return found


def test_a_process_that_only_looks_at_blobs_keeps_nobody_from_removing_them(desk: Path) -> None:
    looking, starting = agent(desk), agent(desk)
    looking.prepare()
    assert not looking.blobs.has(Blob("0" * 64, 1))
    assert looking.environments is not None
    leftovers = left(looking)
    starting.sweep()
    assert [path for path in leftovers if path.exists()] == []


def test_while_a_process_uses_the_folder_nothing_is_removed(desk: Path) -> None:
    using, starting = agent(desk), agent(desk)
    using.prepare()
    assert using.scratch == using.paths.scratch
    leftovers = left(using)
    starting.sweep()
    assert [path for path in leftovers if path.exists()] == leftovers
