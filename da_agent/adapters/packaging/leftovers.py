"""Ends what builds have left running where they have no namespaces of their own, as in a container."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from da_agent import processes
from da_agent.processes import Account

_END = "kill -s KILL -- -1"
"""To every process that this user may signal. The kernel does it in one step: no process can fork in between."""


@contextmanager
def ended(account: Account, user: tuple[str, ...], locks: Path = Path("/run")) -> Iterator[None]:
    """Kill every process of the build user when the last such context of this machine ends.

    `user` stands before a command that runs as that user.
    """
    with (locks / f"da-agent-build-{account.uid}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        try:
            yield
        finally:
            if _is_last(lock.fileno()):
                command = [*user, "sh", "-c", _END]
                processes.run(command, {"PATH": os.defpath}, folder=Path("/"), patience=10)


def _is_last(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
