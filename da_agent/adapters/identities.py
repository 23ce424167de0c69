"""The identity that tells this machine's node from one that runs on a copy of its disk."""

import hashlib
import socket
from contextlib import suppress
from pathlib import Path

BOOT = Path("/proc/sys/kernel/random/boot_id")
"""A random id for each start of the kernel. It is on no disk, so a clone does not copy it."""


def identity(root: Path, address: str) -> str:
    """32 hex digits, the same for every process of the node below `root` at `address`, until the machine reboots.

    Machines differ by the boot ids of their kernels, containers of one machine by their host names, and nodes that
    share both by their roots or addresses.
    """
    boot = ""
    with suppress(OSError):
        boot = BOOT.read_text(encoding="ascii").strip()
    parts = "\0".join((boot, socket.gethostname(), str(root.resolve()), address))
    return hashlib.sha256(parts.encode(errors="surrogateescape")).hexdigest()[:32]
