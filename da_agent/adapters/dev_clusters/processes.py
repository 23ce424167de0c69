"""Processes identified by pid and creation time, because the kernel reuses pids."""

import os
import signal
from collections.abc import Iterable
from pathlib import Path

import msgspec
import psutil


class Known(msgspec.Struct, frozen=True):
    """The identity of a process: its pid and its creation time in seconds since the epoch."""

    pid: int
    created: float

    def find(self) -> psutil.Process | None:
        """The process; None when it has ended or another process has its pid."""
        try:
            process = psutil.Process(self.pid)
            alive = process.create_time() == self.created and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return None
        return process if alive else None


def known(pid: int) -> Known:
    return Known(pid, psutil.Process(pid).create_time())


def of_root(root: Path) -> list[psutil.Process]:
    """Every process whose environment names this node's root, orphans included; without the current process."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("DA_AGENT_ROOT") == str(root) and process.pid != os.getpid():
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def skip_departure(supervisord: psutil.Process) -> None:
    """End this supervisord's program `leave`, which would wait until the load balancer has drained the node."""
    try:
        for child in supervisord.children():
            if child.cmdline()[:2] == ["/bin/sh", "-c"] and child.cmdline()[-1] == "leave":
                child.send_signal(signal.SIGQUIT)
    except psutil.Error:
        return


def kill(processes: Iterable[psutil.Process]) -> None:
    """SIGKILL all `processes` and wait up to 10 seconds until they have ended."""
    doomed = list(processes)
    for process in doomed:
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.Error:
            continue
    psutil.wait_procs(doomed, timeout=10)
