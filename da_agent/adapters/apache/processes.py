"""Apache's processes on this machine, by what the kernel says of them."""

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from da_agent.adapters.apache.configurations import TITLE
from da_agent.domain.application.readiness import Worker
from da_agent.errors import NodeBroken

PATIENCE = 10.0
"""Seconds in which a process that has just been started installs its signal handlers."""


def workers(parent: int) -> dict[Worker, str]:
    """The worker processes below `parent` that are alive, and the group of each; those that end are left out.

    The kernel pads a title to the length of the one before it.
    """
    found = {}
    try:
        children = psutil.Process(parent).children(recursive=True)
    except psutil.NoSuchProcess:
        return {}
    for child in children:
        try:
            title = child.cmdline()
            if title and title[0].startswith(TITLE):
                found[Worker(child.pid, child.create_time())] = title[0].removeprefix(TITLE).rstrip(" )")
        except psutil.Error:
            continue
    return found


def wait_for_end(former: Iterable[Worker]) -> None:
    """Return when these have ended, or after some seconds."""
    ends = time.monotonic() + PATIENCE
    while any(map(_find, former)) and time.monotonic() < ends:
        time.sleep(0.02)


def relieve(worker: Worker) -> None:
    """Tell it to end when it has answered what it is answering; another one starts in its place."""
    _signal(worker, signal.SIGUSR1)


def end(worker: Worker) -> None:
    """Tell it to end now: its requests have a few seconds left."""
    _signal(worker, signal.SIGTERM)


def _signal(worker: Worker, number: signal.Signals) -> None:
    """Nothing when it has ended already."""
    process = _find(worker)
    try:
        if process is not None:
            process.send_signal(number)
    except psutil.NoSuchProcess:
        pass
    except psutil.Error as error:
        raise NodeBroken(f"cannot tell worker process {worker.pid} to end: {error}") from error


def _find(worker: Worker) -> psutil.Process | None:
    try:
        process = psutil.Process(worker.pid)
        return process if process.create_time() == worker.started_at else None
    except psutil.NoSuchProcess:
        return None


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
