"""The file that makes supervisord open its XML-RPC port."""

import socket
from pathlib import Path

from da_agent import files
from da_agent.errors import NodeBroken


class RpcPortFile:
    """The file that supervisord includes; supervisord reads it only when it starts."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def put(self, content: bytes | None, address: str, port: int | None) -> bool:
        """Write `content` to the file, or remove the file for None; True when that changed it.

        NodeBroken, without a change, when `port` is taken: a supervisord that cannot open its port does not start.
        """
        with files.on_this_node("read what supervisord includes"):
            there = self._path.read_bytes() if self._path.exists() else None
        if content == there:
            return False
        with files.on_this_node("change what supervisord includes"):
            if content is None:
                self._path.unlink()
                return True
            # With this port in the file already, this node's own supervisord holds it.
            if port is not None and (there is None or f":{port}\n".encode() not in there):
                _require_free(address, port)
            files.replace(self._path, content)
        return True


def _require_free(address: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise NodeBroken(f"cannot open {address}:{port} for supervisord: {files.complaint(error)}") from error
