"""Child processes that leave nothing running behind them, and let those go first who serve visitors."""

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

NICENESS = 5
"""By so much each gives way: who answers a visitor seldom waits for it, and on a machine that is always busy it has
still a third of what it would have had."""


_LOOK = 0.05
"""Seconds between two looks at what a process writes."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine whom we start processes as."""

    name: str
    uid: int
    gid: int

    @staticmethod
    def of(name: str) -> "Account":
        """KeyError when there is no such user."""
        entry = pwd.getpwnam(name)
        return Account(name, entry.pw_uid, entry.pw_gid)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a process ended, and everything it wrote. `code` is None when its time ran out, negative for a signal."""

    code: int | None
    output: str

    @property
    def lines(self) -> list[str]:
        return [line.strip() for line in self.output.splitlines() if line.strip()]

    @property
    def well(self) -> bool:
        return self.code == 0


def ignore(line: str) -> None:
    """For whoever does not watch."""


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
) -> Outcome:
    """Run `command` in `folder` for at most `patience` seconds; `watch` gets each line while it runs.

    `guard` is called again and again, and ends the process by raising. What does not give way is judged by the time
    that it takes: on a machine that is always busy it would take as long as the others like.

    When this returns or raises, also because a signal handler raised, the process and those that it started in its
    session are gone. OSError when it cannot be started.
    """
    # A file, not a pipe: a build that leaves a daemon with our pipe open would keep us reading for ever.
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
            # It may have ended already, or somebody else may have a say in this.
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, process.pid, min(19, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS))
        lines = _Lines(sink, watch)
        try:
            ended = _await(process.pid, time.monotonic() + patience, lines, guard)
        finally:
            # Before the process is reaped: its number cannot be anybody else's yet.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        lines.read()
        return Outcome(process.returncode if ended else None, lines.text)


class _Lines:
    """What a process has written so far, read by position so that the writer's own is left alone."""

    def __init__(self, sink: IO[bytes], watch: Callable[[str], object]) -> None:
        self._descriptor = sink.fileno()
        self._watch = watch
        self._position = 0
        self._parts: list[bytes] = []
        self._rest = b""

    def read(self) -> None:
        while chunk := os.pread(self._descriptor, 1 << 16, self._position):
            self._position += len(chunk)
            self._parts.append(chunk)
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in lines:
                self._watch(line.decode(errors="replace"))

    @property
    def text(self) -> str:
        return b"".join(self._parts).decode(errors="replace")


def _await(pid: int, end: float, lines: _Lines, guard: Callable[[], object]) -> bool:
    """Whether the process ended before `end`; it is not reaped yet."""
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
