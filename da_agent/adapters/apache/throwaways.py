"""Processes that may do anything and leave nothing behind: run as the web user, for a limited time."""

import os
import pwd
import select
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from da_agent.errors import NodeBroken

LEFT_OUT = ("SUPERVISOR_", "PYTHON", "UV_", "VIRTUAL_ENV", "LD_", "TMP", "TEMP")
"""Variables that would make a rehearsal act on the cluster, import what the release does not have, or write where the
web user may not."""


@dataclass(frozen=True, slots=True)
class Ended:
    """`code` is None when the time was up, and negative for a signal; `output` is all that it printed."""

    code: int | None
    output: str

    @property
    def lines(self) -> list[str]:
        return [line.strip() for line in self.output.splitlines() if line.strip()]


def variables(known: Mapping[str, str], user: pwd.struct_passwd | None) -> dict[str, str]:
    """The environment of a throw-away process: the node's own, without what does not belong there."""
    kept = {name: value for name, value in known.items() if not name.startswith(LEFT_OUT)}
    kept.update(LANG="C.UTF-8", LC_ALL="C.UTF-8")
    kept.setdefault("PATH", os.defpath)
    if user:
        kept.update(HOME=user.pw_dir, USER=user.pw_name, LOGNAME=user.pw_name)
    return kept


def run(
    arguments: Sequence[str], *, seconds: float, environment: Mapping[str, str], user: pwd.struct_passwd | None = None
) -> Ended:
    """Run to the end or until `seconds` are over, then end its whole session; NodeBroken when it cannot start.

    The output goes through a file: with a pipe, a grandchild that keeps it open would have to be waited for.
    """
    as_user: dict[str, Any] = {}
    if user:
        as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=dict(environment),
                start_new_session=True,
                umask=0o022,
                **as_user,
            )
        except OSError as error:
            whose = f" as {user.pw_name}" if user else ""
            raise NodeBroken(f"cannot run {arguments[0]}{whose}: {error.strerror}") from error
        try:
            in_time = _wait(process, seconds)
        finally:
            _end_session(process)
        output.seek(0)
        return Ended(process.returncode if in_time else None, output.read().decode(errors="replace"))


def _wait(process: "subprocess.Popen[bytes]", seconds: float) -> bool:
    """Whether it has ended in time. It is not reaped: until then nobody else is given its number."""
    descriptor = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(seconds * 1000))
    finally:
        os.close(descriptor)


def _end_session(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
