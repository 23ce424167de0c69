"""Child processes that leave nothing running behind, with lower priority than the processes that serve requests."""

import ctypes
import os
import pwd
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from da_agent.domain import limits

NICENESS = 5
"""Added to the nice value of each child. Processes that serve requests seldom wait for such a child.

On a machine that is always busy, the child still gets a third of its usual CPU time.
"""


_LOOK = 0.05
"""Seconds between two reads of a process's output."""

_KEEP_SIZE, _PUNCH_HOLE = 1, 2
"""Of linux/falloc.h."""

_CHUNK = 1 << 16
"""Bytes of one read."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine; processes can be started as this user."""

    name: str
    uid: int
    gid: int

    @staticmethod
    def of(name: str) -> "Account":
        """The account of the user `name`; KeyError when the user does not exist."""
        entry = pwd.getpwnam(name)
        return Account(name, entry.pw_uid, entry.pw_gid)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a process and the last part of its output. `code` is None after a timeout, negative after a signal."""

    code: int | None
    output: str

    @property
    def lines(self) -> list[str]:
        return [line.strip() for line in self.output.splitlines() if line.strip()]

    @property
    def well(self) -> bool:
        return self.code == 0


def ignore(line: str) -> None:
    """The default of `watch`: ignores the line."""


def run(
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    *,
    folder: Path,
    patience: float,
    account: Account | None = None,
    watch: Callable[[str], object] = ignore,
    guard: Callable[[], object] = lambda: None,
    gives_way: bool = True,
    keep: int = limits.OUTPUT,
) -> Outcome:
    """Run `command` in `folder` for at most `patience` seconds; `watch` gets each line of output while it runs.

    `guard` is called repeatedly, and ends the process by raising. `gives_way` lowers the priority of the process.
    It is False for a process whose duration is judged: with low priority, a busy machine could delay it without limit.

    The last `keep` bytes of the output are kept.

    When this returns or raises, the process and the processes in its session are gone, even if a signal handler
    raised. OSError when the command cannot be started.
    """
    # A file, not a pipe: a build can leave a daemon that keeps the pipe open, and reading would never end.
    with tempfile.TemporaryFile() as sink:
        process = subprocess.Popen(
            [str(word) for word in command],
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=0o022,
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else [],
        )
        if gives_way:
            # The process may have ended already, or the system may forbid the change. Priority is not essential.
            with suppress(OSError):
                os.setpriority(os.PRIO_PGRP, process.pid, min(19, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS))
        lines = _Lines(sink, watch, keep)
        try:
            ended = _await(process.pid, time.monotonic() + patience, lines, guard)
        finally:
            # Before the process is reaped: until then the kernel cannot give its id to another process.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        lines.read()
        return Outcome(process.returncode if ended else None, lines.text)


class _Lines:
    """The output of a process so far, read by position so that the writer's own file position does not change.

    A process that prints without end takes a bounded part of the memory, the disk and the time of each look.
    """

    def __init__(self, sink: IO[bytes], watch: Callable[[str], object], keep: int) -> None:
        self._descriptor = sink.fileno()
        self._watch = watch
        self._most = keep
        self._position = 0
        self._freed = 0
        self._last = bytearray()
        self._line = b""

    def read(self) -> None:
        """Read the last part of what has come, and give the disk back what is read."""
        end = os.fstat(self._descriptor).st_size
        self._position = max(self._position, end - max(limits.UNREAD, self._most))
        while self._position < end and (chunk := os.pread(self._descriptor, _CHUNK, self._position)):
            self._position += len(chunk)
            self._keep(chunk)
        if self._position - self._freed >= limits.UNREAD:
            _free(self._descriptor, self._position)
            self._freed = self._position

    def _keep(self, chunk: bytes) -> None:
        self._last += chunk
        del self._last[: -self._most]
        *lines, line = chunk.split(b"\n")
        for each in lines:
            self._watch((self._line + each[: limits.OUTPUT_LINE])[: limits.OUTPUT_LINE].decode(errors="replace"))
            self._line = b""
        self._line = (self._line + line)[: limits.OUTPUT_LINE]

    @property
    def text(self) -> str:
        return self._last.decode(errors="replace")


def _free(descriptor: int, end: int) -> None:
    """Make a hole of the file up to `end`: its bytes take no disk space any more. Some file systems cannot."""
    start, length = ctypes.c_longlong(0), ctypes.c_longlong(end)
    ctypes.CDLL(None).fallocate(descriptor, _PUNCH_HOLE | _KEEP_SIZE, start, length)


def _await(pid: int, end: float, lines: _Lines, guard: Callable[[], object]) -> bool:
    """Whether the process ended before `end` (monotonic seconds). The process is not reaped yet."""
    descriptor = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        while not poll.poll(_LOOK * 1000):
            if time.monotonic() > end:
                return False
            lines.read()
            guard()
        return True
    finally:
        os.close(descriptor)
