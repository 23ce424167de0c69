"""What tells this machine's node from a copy of its disk."""

import hashlib
import socket
from contextlib import suppress
from pathlib import Path

BOOT = Path("/proc/sys/kernel/random/boot_id")
"""Random for each start of the kernel: no file system is copied with it."""


def identity(root: Path, address: str) -> str:
    """The same for every process of the node below `root` that answers at `address`, until the machine starts anew.

    Machines differ by the start of their kernels, containers of one machine by their host names, and nodes that share
    both by their roots or addresses.
    """
    boot = ""
    with suppress(OSError):
        boot = BOOT.read_text(encoding="ascii").strip()
    parts = "\0".join((boot, socket.gethostname(), str(root.resolve()), address))
    return hashlib.sha256(parts.encode(errors="surrogateescape")).hexdigest()[:32]
