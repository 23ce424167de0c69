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

from supervisor.states import ProcessStates, SupervisorStates
from supervisor.xmlrpc import Faults

from da_agent.errors import NodeBroken

_TIMEOUT = 30.0
"""Seconds without an answer after which supervisord hangs. Starting a program takes its `startsecs`, far less, and
stopping one its `stopwaitsecs`."""
_PAUSE = 0.05
_LOG = 2000
_FAILED = frozenset({ProcessStates.BACKOFF, ProcessStates.FATAL})
_UNDECIDED = frozenset({ProcessStates.STARTING, ProcessStates.STOPPING, ProcessStates.BACKOFF})


class Supervisord:
    """The supervisord that listens on `socket`; implements `ports.Supervisor`. May be used by several threads."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._revived: set[str] = set()
        """Begun again, and not up yet."""
        self._lost: set[str] = set()
        """Stopped in order to be begun again, which supervisord then refused."""

    def pid(self, program: str) -> int | None:
        with self._asking(f"look at {program}") as supervisord:
            found: int = supervisord.getProcessInfo(program)["pid"]
            return found or None

    def failed(self) -> tuple[str, ...]:
        states = self._look()
        failed = {name for name, state in states.items() if state in _FAILED}
        return tuple(sorted(failed | self._revived | self._lost))

    def starting(self) -> tuple[str, ...]:
        states = self._look()
        return tuple(sorted(name for name in self._revived if states[name] in _UNDECIDED))

    def revive(self) -> None:
        rejection = {name: state for name, state in self._look().items() if state in _FAILED}
        with self._asking("begin the programs again") as supervisord:
            for name, state in rejection.items():
                self._revived.add(name)
                # Whoever is about to be tried again waits the longer the more often that failed: not after this. And
                # it may be tried at this moment, so its end is waited for.
                with suppress(Fault):
                    if state == ProcessStates.BACKOFF:
                        supervisord.stopProcess(name, True)
                try:
                    supervisord.startProcess(name, False)
                except Fault:
                    self._lost.add(name)

    def _look(self) -> dict[str, int]:
        """The state of every program; whatever was begun again, and is up or was stopped by somebody, has nothing to
        prove any more."""
        with self._asking("look at the programs") as supervisord:
            every = supervisord.getAllProcessInfo()
        states = {_name(each["group"], each["name"]): int(each["state"]) for each in every}
        self._revived = {name for name in self._revived if states.get(name) in _FAILED | _UNDECIDED}
        self._lost = {name for name in self._lost if states.get(name) == ProcessStates.STOPPED}
        return states

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

    def ending(self) -> bool:
        with self._asking("look at supervisord") as supervisord:
            try:
                return bool(supervisord.getState()["statecode"] < SupervisorStates.RUNNING)
            except Fault as fault:
                # It refuses every question then, this one, too.
                if fault.faultCode != Faults.SHUTDOWN_STATE:
                    raise
                return True

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


def restart_parent(parent: int) -> None:
    """Tell the supervisord that started us to end everything, to read and open all its files again, and to start anew.

    Not through its socket, which may have gone with the folder it lay in. `parent` is the one that we began with: when
    it has died, the machine's first process is our parent, which takes the signal otherwise.
    """
    if os.environ.get("SUPERVISOR_ENABLED") != "1":
        raise NodeBroken("cannot restart supervisord: it has not started this process; restart it by hand")
    if os.getppid() != parent:
        raise NodeBroken("cannot restart supervisord: the one that started this process has ended; start it again")
    os.kill(parent, signal.SIGHUP)


def _name(group: str, program: str) -> str:
    """As supervisorctl names it."""
    return program if group == program else f"{group}:{program}"


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

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        """Kept where `close` looks for it."""
        made = self._connection[1] or _UnixConnection(self._path)
        self._connection = host, made
        return made


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
