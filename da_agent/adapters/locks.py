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
    """A flock on the file `path`. The kernel releases it when its process ends, for whatever reason.

    The file stays. It names the holder for the error message of the next process.
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
            # A full disk costs only the holder's name in the file: the node must be able to start and serve.
            with suppress(OSError):
                self._sign(descriptor)
            yield
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)

    def _take(self, descriptor: int, patience: timedelta) -> None:
        """Take the lock; Busy when another process holds it for `patience`.

        Polls, because a blocking flock has no time-out, and a thread that waits in it cannot be ended.
        """
        give_up_at, pause = time.monotonic() + patience.total_seconds(), _SHORTEST_PAUSE
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                left = give_up_at - time.monotonic()
                if left <= 0:
                    raise Busy(
                        f"cannot start: {self._holder()} holds the lock of this node ({self._path}). "
                        "Wait until it has finished, then try again."
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
