"""Processes that an earlier life of this node has left running: how they are found, and how they end."""

import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

_PAUSE = 0.02


def find(belongs: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    """The processes, this one excepted, that see our files and that `belongs` accepts; it may raise psutil.Error.

    A container's process, seen from its host, may name the same path and mean another file.
    """
    found = []
    # Not process_iter: a long process would meet numbers there that have been given to others since.
    for pid in psutil.pids():
        try:
            process = psutil.Process(pid)
            if pid != os.getpid() and belongs(process) and _sees_our_files(pid):
                found.append(process)
        except (psutil.Error, OSError):
            # It has ended, or belongs to another user.
            continue
    return found


def group(process: psutil.Process) -> int | None:
    """The process group: the number of its first process, which the kernel gives to no other meanwhile."""
    try:
        return os.getpgid(process.pid)
    except OSError:
        return None


def tell(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    """Send a signal to each that is still the process that was found: psutil compares the start times."""
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.Error:
            continue


def gone(processes: Iterable[psutil.Process]) -> bool:
    """True when none is left; a zombie holds nothing any more."""
    return not any(map(_is_alive, processes))


def wait(done: Callable[[], bool], patience: float) -> bool:
    """Return True once `done` holds, False after `patience` seconds."""
    ends = time.monotonic() + patience
    while not done():
        if time.monotonic() > ends:
            return False
        time.sleep(_PAUSE)
    return True


def end(processes: list[psutil.Process], patience: float) -> None:
    """Tell them to end; after `patience` seconds kill what is left of them, and what that has started."""
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
        # Root without CAP_SYS_PTRACE, as in a container, may not look at the web user's processes.
        return True
