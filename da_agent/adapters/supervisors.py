"""The supervisord of a node, over XML-RPC on its unix socket."""

import xmlrpc.client
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

from supervisor.states import RUNNING_STATES, ProcessStates
from supervisor.xmlrpc import Faults, SupervisorTransport

from da_agent.errors import NodeBroken

LOG_TAIL = 2000
"""Bytes of a program's log that explain why it did not start."""

_UNIX_PATH = 107
"""Bytes: the kernel's limit for the name of a unix socket."""


class Supervisord:
    """Implements ports.Supervisor. Each call is a connection of its own: supervisord may be restarted in between."""

    def __init__(self, path: Path) -> None:
        """`path` is its unix socket."""
        self._path = path

    def pid(self, program: str) -> int | None:
        with self._calling(f"ask supervisord about {program}") as call:
            info = call.getProcessInfo(program)
        return int(info["pid"]) or None if info["state"] in RUNNING_STATES else None

    def start(self, program: str) -> None:
        with self._calling(f"start {program}") as call:
            try:
                call.startProcess(program, True)
            except xmlrpc.client.Fault as fault:
                if fault.faultCode != Faults.ALREADY_STARTED:
                    raise NodeBroken(f"cannot start {program}: {self._reason(call, program)}") from fault

    def running(self) -> bool:
        """Whether supervisord answers at all."""
        try:
            with self._calling("reach supervisord") as call:
                return bool(call.getState()["statename"] == "RUNNING")
        except NodeBroken:
            return False

    def send(self, kind: str, data: str) -> None:
        """Tell every listener of REMOTE_COMMUNICATION events: it wakes up."""
        with self._calling("send an event") as call:
            call.sendRemoteCommEvent(kind, data)

    def ended(self, program: str) -> int | None:
        """The exit code of a one-shot that has ended; None while it runs or was never started."""
        with self._calling(f"ask supervisord about {program}") as call:
            info = call.getProcessInfo(program)
        return int(info["exitstatus"]) if info["state"] == ProcessStates.EXITED else None

    def _reason(self, call: Any, program: str) -> str:
        for read in (call.readProcessStderrLog, call.readProcessStdoutLog):
            try:
                tail = str(read(program, -LOG_TAIL, 0)).strip()
            except xmlrpc.client.Fault:
                continue
            if tail:
                return tail.splitlines()[-1]
        return "it ends at once, and its log is empty"

    @contextmanager
    def _calling(self, task: str) -> Iterator[Any]:
        if len(bytes(self._path)) > _UNIX_PATH:
            raise NodeBroken(f"cannot {task}: {self._path} is longer than a socket's name may be; use a shorter root")
        transport = SupervisorTransport("", "", f"unix://{self._path}")
        try:
            yield xmlrpc.client.ServerProxy("http://127.0.0.1", transport).supervisor
        except xmlrpc.client.Fault as fault:
            raise NodeBroken(f"cannot {task}: supervisord says {fault.faultString}") from fault
        except (TimeoutError, OSError, HTTPException, xmlrpc.client.Error) as error:
            raise NodeBroken(f"cannot {task}: supervisord does not answer on {self._path} ({error})") from error
        finally:
            transport.close()
