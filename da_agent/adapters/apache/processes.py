"""Apache's processes on this machine, as the kernel lists them."""

import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from da_agent import orphans
from da_agent.adapters.apache.configurations import TITLE
from da_agent.domain.application.readiness import Worker
from da_agent.errors import NodeBroken

PATIENCE = 10.0
"""Seconds in which a new process must install its signal handlers."""


def workers(parent: int) -> dict[Worker, str]:
    """The live worker processes below `parent`, each with its group; processes that are ending are left out.

    The kernel pads a process title to the length of the previous one.
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
    """Return once the `former` workers have ended, or after PATIENCE."""
    ends = time.monotonic() + PATIENCE
    while any(map(_find, former)) and time.monotonic() < ends:
        time.sleep(0.02)


def relieve(worker: Worker) -> None:
    """Tell `worker` to end after its current requests; Apache starts another one in its place."""
    _signal(worker, signal.SIGUSR1)


def end(worker: Worker) -> None:
    """Tell `worker` to end now; its requests have a few seconds left."""
    _signal(worker, signal.SIGTERM)


def _signal(worker: Worker, number: signal.Signals) -> None:
    """Send the signal; do nothing when the process has already ended."""
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


def end_orphans(
    configuration: Path, pid_file: Path, is_free: Callable[[], bool], current: Callable[[], int | None]
) -> None:
    """End each Apache with this `configuration` except `current`, so that its port and `pid_file` are free.

    An Apache that is told to stop releases both at once. Its GracefulShutdownTimeout leaves some seconds for current
    requests. The children of a killed Apache would hold its port forever, and are killed.
    """
    left = _left(configuration, current)
    leaders = [process for process in left if orphans.group(process) == process.pid]
    led = {process.pid for process in leaders}
    orphans.tell((process for process in left if orphans.group(process) not in led), signal.SIGKILL)

    def let_go() -> bool:
        return orphans.gone(left) or (is_free() and _pid_in(pid_file) not in led)

    if not let_go():
        # Sent only once: a second signal would cut the requests that the first one lets finish.
        orphans.tell(leaders, signal.SIGWINCH)
    if not orphans.wait(let_go, PATIENCE):
        # Searched again: an Apache that hangs may have started more children.
        stuck = _left(configuration, current)
        orphans.tell(stuck, signal.SIGKILL)
        orphans.wait(lambda: orphans.gone(stuck), PATIENCE)
    # Another process may have that pid by now; Apache would mistake it for itself ("already running").
    pid_file.unlink(missing_ok=True)


def _left(configuration: Path, current: Callable[[], int | None]) -> list[psutil.Process]:
    found = orphans.find(lambda process: _serves(process, configuration))
    # Asked after the search: supervisord then knows each Apache that it had started by the time of the search.
    running = current()
    return [process for process in found if orphans.group(process) != running]


def _serves(process: psutil.Process, configuration: Path) -> bool:
    """Whether the process serves this configuration. `apache2 -t` only checks it, holds no port and ends by itself."""
    words = process.cmdline()
    return str(configuration) in words and "-t" not in words


def _pid_in(pid_file: Path) -> int | None:
    try:
        return int(pid_file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def restart_gracefully(parent: int) -> None:
    """Tell Apache to reread its files and replace its processes as they finish.

    Waits up to PATIENCE for the signal handler: the signal would end an Apache that is still starting.
    Raises NodeBroken when the process has ended or is still starting.
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
