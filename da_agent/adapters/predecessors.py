"""The agent's own programs that an earlier supervisord of this node has left running."""

import os
from pathlib import Path

import psutil

from da_agent import orphans
from da_agent.ports import Supervisor

PROGRAMS = frozenset({"initialize", "sync", "update", "reset", "install_certs"})

PATIENCE = 5.0
"""Seconds: the `stopwaitsecs` of these programs."""


def end(root: Path, supervisor: Supervisor) -> tuple[str, ...]:
    """End the programs of the node at `root` that `supervisor` does not know; returns a word on each.

    One that lives on would keep the node's lock, and change what its successor changes.
    """
    found = orphans.find(lambda process: _is_program(process, root))
    if not found:
        return ()
    # Asked last: what the new supervisord had started when we looked is known to it now.
    known = {supervisor.pid(program) for program in PROGRAMS}
    left = [process for process in found if process.pid not in known and _parent(process) not in known]
    orphans.end(left, PATIENCE)
    return tuple(f"process {process.pid}" for process in left)


def _is_program(process: psutil.Process, root: Path) -> bool:
    """Whether a supervisord has started it for this node: its variables tell, which a child's children inherit."""
    words = process.cmdline()
    if not words or words[-1] not in PROGRAMS or os.getpgid(process.pid) != process.pid:
        return False
    variables = process.environ()
    started_as = variables.get("SUPERVISOR_PROCESS_NAME")
    return started_as == words[-1] and Path(variables.get("DA_AGENT_ROOT", "")) == root


def _parent(process: psutil.Process) -> int | None:
    """A program that is just starting another one looks like two."""
    try:
        return process.ppid()
    except psutil.Error:
        return None
