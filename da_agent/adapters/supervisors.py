"""The supervisord of a node, over XML-RPC on its Unix socket."""

import http.client
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from xmlrpc.client import Error, Fault, ServerProxy, Transport

from supervisor.states import ProcessStates
from supervisor.xmlrpc import Faults

from da_agent.errors import NodeBroken

_TIMEOUT = 30.0
"""Seconds without an answer after which supervisord hangs. Starting a program takes its `startsecs`, far less, and
stopping one its `stopwaitsecs`."""
_REVIVAL = 3.0
"""Seconds in which a program that was given up shows whether it stays up now; one that takes longer to start counts as
well until then."""
_PAUSE = 0.05
_LOG = 2000
_FAILED = frozenset({ProcessStates.BACKOFF, ProcessStates.FATAL})
_UNDECIDED = frozenset({ProcessStates.STARTING, ProcessStates.STOPPING, ProcessStates.BACKOFF})


class Supervisord:
    """The supervisord that listens on `socket`; implements `ports.Supervisor`. May be used by several threads."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def pid(self, program: str) -> int | None:
        with self._asking(f"look at {program}") as supervisord:
            found: int = supervisord.getProcessInfo(program)["pid"]
            return found or None

    def failed(self) -> tuple[str, ...]:
        with self._asking("look at the programs") as supervisord:
            states = {each["name"]: each["state"] for each in supervisord.getAllProcessInfo()}
        return tuple(sorted(name for name, state in states.items() if state in _FAILED))

    def revive(self) -> None:
        with self._asking("look at the programs") as supervisord:
            given_up = [name for name, state in _states(supervisord).items() if state in _FAILED]
            for name in given_up:
                # Whoever is about to be tried again waits the longer the more often that failed: not after this.
                for begin in (supervisord.stopProcess, supervisord.startProcess):
                    with suppress(Fault):
                        begin(name, False)
            ends = time.monotonic() + _REVIVAL
            while given_up and time.monotonic() < ends:
                time.sleep(_PAUSE)
                states = _states(supervisord)
                given_up = [name for name in given_up if states.get(name) == ProcessStates.STARTING]

    def start(self, program: str) -> None:
        with self._asking(f"start {program}") as supervisord:
            try:
                supervisord.startProcess(program, True)
            except Fault as fault:
                if fault.faultCode == Faults.ALREADY_STARTED:
                    # Supervisor says so of a program that keeps failing, too.
                    self._wait_until_decided(supervisord, program)
                elif fault.faultCode in (Faults.SPAWN_ERROR, Faults.ABNORMAL_TERMINATION):
                    raise self._failure(supervisord, program) from fault
                else:
                    raise

    def stop(self, program: str) -> None:
        with self._asking(f"stop {program}") as supervisord:
            try:
                supervisord.stopProcess(program, True)
            except Fault as fault:
                if fault.faultCode != Faults.NOT_RUNNING:
                    raise

    def _wait_until_decided(self, supervisord: Any, program: str) -> None:
        ends = time.monotonic() + _TIMEOUT
        while True:
            state = _info(supervisord, program)["state"]
            if state == ProcessStates.RUNNING:
                return
            if state not in _UNDECIDED or time.monotonic() >= ends:
                raise self._failure(supervisord, program)
            time.sleep(_PAUSE)

    def _failure(self, supervisord: Any, program: str) -> NodeBroken:
        info = _info(supervisord, program)
        said = info["spawnerr"] or f"it is {info['statename'].lower()}"
        log = self._end_of_log(supervisord, program)
        return NodeBroken(f"cannot start {program}: {said}" + (f"; its log ends with: {log}" if log else ""))

    def _end_of_log(self, supervisord: Any, program: str) -> str:
        for read in (supervisord.readProcessStderrLog, supervisord.readProcessStdoutLog):
            try:
                lines = str(read(program, -_LOG, 0)).splitlines()
            except Fault:
                # It has no log of this kind: it writes both to one file.
                continue
            if lines:
                return " | ".join(line.strip() for line in lines[-5:] if line.strip())
        return ""

    @contextmanager
    def _asking(self, task: str) -> Iterator[Any]:
        """A connection of its own for each question: whoever restarts supervisord disturbs nothing but that one."""
        transport = _UnixTransport(self._socket)
        try:
            yield ServerProxy("http://supervisord", transport).supervisor
        except Fault as fault:
            raise NodeBroken(f"cannot {task}: {_reason(fault)} ({self._socket})") from fault
        except (OSError, http.client.HTTPException, Error) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise NodeBroken(f"cannot {task}: supervisord does not answer on {self._socket}: {reason}") from error
        finally:
            transport.close()


def restart_parent() -> None:
    """Tell the supervisord that started us to end everything, to read and open all its files again, and to start anew.

    Not through its socket, which may have gone with the folder it lay in.
    """
    if os.environ.get("SUPERVISOR_ENABLED") != "1":
        raise NodeBroken("cannot restart supervisord: it has not started this process; restart it by hand")
    os.kill(os.getppid(), signal.SIGHUP)


def _states(supervisord: Any) -> dict[str, int]:
    return {f"{each['group']}:{each['name']}": each["state"] for each in supervisord.getAllProcessInfo()}


def _info(supervisord: Any, program: str) -> dict[str, Any]:
    return dict(supervisord.getProcessInfo(program))


def _reason(fault: Fault) -> str:
    if fault.faultCode == Faults.BAD_NAME:
        return "supervisord knows no program of this name"
    if fault.faultCode == Faults.SHUTDOWN_STATE:
        return "supervisord is shutting down"
    return f"supervisord says {fault.faultString}"


class _UnixTransport(Transport):
    """supervisor's own transport waits for ever when supervisord hangs."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._made: _UnixConnection | None = None

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        if self._made is None:
            self._made = _UnixConnection(self._path)
        # Where `close` looks for it.
        self._connection = host, self._made
        return self._made


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("supervisord", timeout=_TIMEOUT)
        self._path = path

    def connect(self) -> None:
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connected.settimeout(_TIMEOUT)
        try:
            connected.connect(str(self._path))
        except BaseException:
            connected.close()
            raise
        self.sock = connected
