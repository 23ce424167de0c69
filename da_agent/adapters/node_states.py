"""The node state as one small file."""

from pathlib import Path

from da_agent import files
from da_agent.domain import records
from da_agent.domain.node.node_states import NodeState
from da_agent.errors import Corrupt


class NodeStateFile:
    """The file is read and replaced as a whole. A missing or corrupt file is None."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> NodeState | None:
        with files.on_this_node("read the node state"):
            try:
                data = self._path.read_bytes()
            except FileNotFoundError:
                return None
        try:
            return records.decode(NodeState, data, str(self._path))
        except Corrupt:
            return None

    def save(self, node_state: NodeState) -> None:
        with files.on_this_node("write the node state"):
            files.replace(self._path, records.encode(node_state))
