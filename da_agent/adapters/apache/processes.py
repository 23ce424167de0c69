"""Apache's processes on this machine, by what the kernel says of them."""

import os
import signal
import time
from pathlib import Path

import psutil

from da_agent.domain.proofs import Worker
from da_agent.errors import NodeBroken

TITLE = "(wsgi:"
"""What mod_wsgi calls the processes that run the application: `display-name` in apache2.conf."""

PATIENCE = 10.0
"""Seconds in which a process that has just been started installs its signal handlers."""


def workers(parent: int) -> frozenset[Worker]:
    """The worker processes below `parent` that are alive; those that end meanwhile are left out."""
    found = set()
    try:
        children = psutil.Process(parent).children(recursive=True)
    except psutil.NoSuchProcess:
        return frozenset()
    for child in children:
        try:
            title = child.cmdline()
            if title and title[0].startswith(TITLE):
                found.add(Worker(child.pid, child.create_time()))
        except psutil.Error:
            continue
    return frozenset(found)


def end_orphans(configuration: Path) -> None:
    """Kill what an Apache with this configuration has left: when it was killed, its children hold its ports for ever.

    One that supervisord has started meanwhile is left alone: it leads its own group, and an orphan's leader has ended.
    """
    orphans = []
    for process in psutil.process_iter():
        try:
            if str(configuration) in process.cmdline() and not psutil.pid_exists(os.getpgid(process.pid)):
                process.kill()
                orphans.append(process)
        except (psutil.Error, OSError):
            continue
    psutil.wait_procs(orphans, timeout=PATIENCE)


def restart_gracefully(parent: int) -> None:
    """Tell Apache to read its files again and to replace its processes as they finish.

    Waits for the handler first: the signal would end an Apache that is still starting.
    """
    ends = time.monotonic() + PATIENCE
    while not _catches(parent, signal.SIGUSR1):
        if time.monotonic() > ends:
            raise NodeBroken(f"cannot restart the web server gracefully: process {parent} is still starting")
        time.sleep(0.02)
    try:
        os.kill(parent, signal.SIGUSR1)
    except OSError as error:
        raise NodeBroken(f"cannot restart the web server gracefully: {error.strerror} (process {parent})") from error


def _catches(pid: int, wanted: signal.Signals) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise NodeBroken(f"cannot restart the web server gracefully: process {pid} has ended") from error
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (wanted - 1) & 1)
