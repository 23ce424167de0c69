"""Finding and ending processes that an earlier run of this node left behind."""

import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

_PAUSE = 0.02


def find(belongs: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    """The processes that see the same files as this one and that `belongs` accepts, without this process.

    `belongs` may raise psutil.Error; such a process is skipped. The check of the files is for containers:
    seen from the host, a container's process may name the same path and mean another file.
    """
    found = []
    # Not process_iter: it caches processes, and in a long-running process a cached id may belong to a new process.
    for pid in psutil.pids():
        try:
            process = psutil.Process(pid)
            if pid != os.getpid() and belongs(process) and _sees_our_files(pid):
                found.append(process)
        except (psutil.Error, OSError):
            # The process has ended, or belongs to another user.
            continue
    return found


def group(process: psutil.Process) -> int | None:
    """The id of the process group, which the kernel reuses for no other group while it exists; None when it is gone."""
    try:
        return os.getpgid(process.pid)
    except OSError:
        return None


def tell(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    """Send a signal to each process that still exists. psutil compares start times, so a reused id gets no signal."""
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.Error:
            continue


def gone(processes: Iterable[psutil.Process]) -> bool:
    """True when no process is left. A zombie counts as gone: it holds no resources."""
    return not any(map(_is_alive, processes))


def wait(done: Callable[[], bool], patience: float) -> bool:
    """True once `done` returns true; False after `patience` seconds."""
    ends = time.monotonic() + patience
    while not done():
        if time.monotonic() > ends:
            return False
        time.sleep(_PAUSE)
    return True


def end(processes: list[psutil.Process], patience: float) -> None:
    """Send SIGTERM; after `patience` seconds kill the remaining processes and all their descendants."""
    tell(processes, signal.SIGTERM)
    if not wait(lambda: gone(processes), patience):
        stuck = [each for process in processes for each in _family(process)]
        tell(stuck, signal.SIGKILL)
        wait(lambda: gone(stuck), patience)


def _family(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _sees_our_files(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/ns/mnt").readlink() == Path("/proc/self/ns/mnt").readlink()
    except PermissionError:
        # Root without CAP_SYS_PTRACE, as in a container, cannot inspect the web user's processes.
        return True
