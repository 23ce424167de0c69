"""Programs of the agent that an earlier supervisord of this node has left running."""

import os
from pathlib import Path

import psutil

from da_agent import orphans
from da_agent.ports import Supervisor

PROGRAMS = frozenset({"initialize", "sync", "update", "reset", "install_certs", "leave"})

PATIENCE = 5.0
"""Seconds: the `stopwaitsecs` of these programs."""


def end(root: Path, supervisor: Supervisor) -> tuple[str, ...]:
    """End the programs of the node at `root` that `supervisor` does not know; returns "process PID" for each.

    A program that lives on would hold the node's lock, and write to the same files as its successor.
    """
    found = orphans.find(lambda process: _is_program(process, root))
    if not found:
        return ()
    # Asked after `find`: the new supervisord knows every program that it had started by then.
    known = {supervisor.pid(program) for program in PROGRAMS}
    left = [process for process in found if process.pid not in known and _parent(process) not in known]
    orphans.end(left, PATIENCE)
    return tuple(f"process {process.pid}" for process in left)


def _is_program(process: psutil.Process, root: Path) -> bool:
    """Whether a supervisord has started `process` for the node at `root`.

    Children inherit the variables of a program, so `process` must also lead its process group.
    """
    words = process.cmdline()
    if not words or words[-1] not in PROGRAMS or os.getpgid(process.pid) != process.pid:
        return False
    variables = process.environ()
    started_as = variables.get("SUPERVISOR_PROCESS_NAME")
    return started_as == words[-1] and Path(variables.get("DA_AGENT_ROOT", "")) == root


def _parent(process: psutil.Process) -> int | None:
    """The parent's process id; None when `process` is gone.

    Between fork and exec, a child of a program looks like the program itself; its parent tells it apart.
    """
    try:
        return process.ppid()
    except psutil.Error:
        return None
