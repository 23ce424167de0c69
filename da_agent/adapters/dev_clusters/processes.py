"""Processes that are known by more than a pid, which may have been given to another one."""

import os
import signal
from collections.abc import Iterable
from pathlib import Path

import msgspec
import psutil


class Known(msgspec.Struct, frozen=True):
    """A process: its pid and when it was created (seconds since the epoch)."""

    pid: int
    created: float

    def find(self) -> psutil.Process | None:
        """The process, when it is still this one and alive."""
        try:
            process = psutil.Process(self.pid)
            alive = process.create_time() == self.created and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return None
        return process if alive else None


def known(pid: int) -> Known:
    return Known(pid, psutil.Process(pid).create_time())


def of_root(root: Path) -> list[psutil.Process]:
    """Every process of the node whose root this is, however it came to be an orphan: its environment tells."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("DA_AGENT_ROOT") == str(root) and process.pid != os.getpid():
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def skip_departure(supervisord: psutil.Process) -> None:
    """End the program `leave` of this supervisord, which would wait until the balancer has seen that the node goes."""
    try:
        for child in supervisord.children():
            if child.cmdline()[:2] == ["/bin/sh", "-c"] and child.cmdline()[-1] == "leave":
                child.send_signal(signal.SIGQUIT)
    except psutil.Error:
        return


def kill(processes: Iterable[psutil.Process]) -> None:
    """SIGKILL them all and wait until they are gone."""
    doomed = list(processes)
    for process in doomed:
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.Error:
            continue
    psutil.wait_procs(doomed, timeout=10)
