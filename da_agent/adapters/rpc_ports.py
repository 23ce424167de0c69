"""This node's own XML-RPC port: the file that makes supervisord open it, and the address that others use."""

import socket
from pathlib import Path

from da_agent import files
from da_agent.errors import NodeBroken

_ELSEWHERE = ("192.0.2.1", 9)
"""An address that is nobody's, to learn which of ours the kernel would speak from; nothing is sent."""


class RpcPortFile:
    """The file that supervisord includes when it starts, and at no other time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def put(self, content: bytes | None, address: str, port: int | None) -> bool:
        """Make `content` the file, or remove it (None); whether that changed anything.

        NodeBroken, and nothing is changed, when the port is taken: a supervisord that cannot open it does not start.
        """
        with files.on_this_node("read what supervisord includes"):
            there = self._path.read_bytes() if self._path.exists() else None
        if content == there:
            return False
        with files.on_this_node("change what supervisord includes"):
            if content is None:
                self._path.unlink()
                return True
            # What is there already may be the reason that the port is taken: by our own supervisord.
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


def seen_from_outside(address: str) -> str:
    """The address that other machines use for what listens on `address`: for a wildcard the one of the default route,
    or else the host's name."""
    if address != "0.0.0.0":  # noqa: S104
        return address
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ELSEWHERE)
        except OSError:
            return socket.gethostname()
        return str(probe.getsockname()[0])
