"""One agent process at a time on a node."""

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

from da_agent import files
from da_agent.errors import Busy

_SHORTEST_PAUSE = 0.01
_LONGEST_PAUSE = 0.25


class FileLock:
    """The kernel's lock on the file `path`, which ends with the process that holds it, however that ends.

    The file itself stays: it says who holds the lock, for the sentence that somebody else gets.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def hold(self, patience: timedelta) -> Iterator[None]:
        with files.on_this_node("lock this node"):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            with files.on_this_node("lock this node"):
                self._take(descriptor, patience)
            # A full disk takes only the holder's name from us: the node must be able to start and serve.
            with suppress(OSError):
                self._sign(descriptor)
            yield
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)

    def _take(self, descriptor: int, patience: timedelta) -> None:
        """A lock that is waited for in the kernel has no time-out, and a thread that waits there cannot be ended."""
        give_up_at, pause = time.monotonic() + patience.total_seconds(), _SHORTEST_PAUSE
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                left = give_up_at - time.monotonic()
                if left <= 0:
                    raise Busy(
                        f"cannot begin: {self._holder()} is at work on this node ({self._path}); try again later"
                    ) from None
                time.sleep(min(pause, left))
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _sign(self, descriptor: int) -> None:
        command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} ({command[:200]})\n".encode(errors="replace"), 0)

    def _holder(self) -> str:
        with suppress(OSError):
            return self._path.read_text(errors="replace").strip() or "another process"
        return "another process"
