"""Where the Apache that runs the application listens, and how the fronts and the agent make themselves known to it."""

import hashlib
import re
from pathlib import Path

PORT = 8801
"""The default port for the fronts; the port for the agent follows it. Not in the range of outgoing connections."""

PRIVILEGED_PORT = 801
"""The default port when the agent is root: no other user can listen there while Apache is down."""

HEALTH = "/.well-known/da-agent"
"""The path of the loader's URL. The agent gets details, and any other client only a status."""

GROUP_HEADER = "X-DA-Agent-Group"
"""In the agent's requests: the secret, then the group of worker processes that must answer, or `live`."""


def address(root: Path, http_port: int) -> str:
    """An address in 127.0.0.0/8 that differs between nodes on one machine, so that all may have the same ports.

    Nodes in containers that share the machine's network may have equal roots, but not equal ports.
    """
    digest = hashlib.sha256(f"{root} {http_port}".encode()).digest()
    # Neither 127.0.x.x, where other programs listen, nor a last byte of 0 or 255.
    return f"127.{1 + digest[0] % 254}.{digest[1]}.{1 + digest[2] % 254}"


def secret(definition: str) -> str:
    """The node's secret from the text of `Paths.secret`; empty when there is none."""
    found = re.search(r'"(\w+)"', definition)
    return found[1] if found else ""
