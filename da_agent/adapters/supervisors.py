"""The supervisord of a node, over XML-RPC on its Unix socket."""

import http.client
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from xmlrpc.client import Error, Fault, ServerProxy, Transport

from supervisor.states import ProcessStates, SupervisorStates
from supervisor.xmlrpc import Faults

from da_agent.domain import texts
from da_agent.errors import NodeBroken

_TIMEOUT = 30.0
"""Seconds without an answer after which supervisord counts as hanging. To start a program takes its `startsecs`, to
stop one its `stopwaitsecs`; both are far less."""
_PAUSE = 0.05
_LOG = 2000
_FAILED = frozenset({ProcessStates.BACKOFF, ProcessStates.FATAL})
_UNDECIDED = frozenset({ProcessStates.STARTING, ProcessStates.STOPPING, ProcessStates.BACKOFF})


class Supervisord:
    """The supervisord that listens on `socket`; implements `ports.Supervisor`. May be used by several threads."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._revived: set[str] = set()
        """Programs that `revive` has started and that are not up yet."""
        self._lost: set[str] = set()
        """Programs that `revive` has stopped and that supervisord then refused to start."""

    def pid(self, program: str) -> int | None:
        with self._asking(f"read the state of {program}") as supervisord:
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
        fatal = {name: state for name, state in self._look().items() if state in _FAILED}
        with self._asking("restart the failed programs") as supervisord:
            for name, state in fatal.items():
                self._revived.add(name)
                # supervisord retries a program in BACKOFF after growing pauses; stopping it resets them. The program
                # may be starting at this moment, so the call waits for its end.
                with suppress(Fault):
                    if state == ProcessStates.BACKOFF:
                        supervisord.stopProcess(name, True)
                try:
                    supervisord.startProcess(name, False)
                except Fault:
                    self._lost.add(name)

    def _look(self) -> dict[str, int]:
        """The state of every program, by name.

        Also forgets the revived programs that are up by now, or that an admin has stopped.
        """
        with self._asking("read the states of the programs") as supervisord:
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
                    # supervisord also says so of a program that keeps failing.
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
        with self._asking("read the state of supervisord") as supervisord:
            try:
                return bool(supervisord.getState()["statecode"] < SupervisorStates.RUNNING)
            except Fault as fault:
                # A supervisord that is shutting down refuses every question, including this one.
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
        said = info["spawnerr"] or f"supervisord says {info['statename']}"
        log = self._end_of_log(supervisord, program)
        return NodeBroken(f"cannot start {program}: {said}" + (f"; its log ends with: {log}" if log else ""))

    def _end_of_log(self, supervisord: Any, program: str) -> str:
        for read in (supervisord.readProcessStderrLog, supervisord.readProcessStdoutLog):
            try:
                lines = str(read(program, -_LOG, 0)).splitlines()
            except Fault:
                # The program has no log of this kind: it writes stdout and stderr to one file.
                continue
            if lines:
                return " | ".join(texts.log(line for line in lines[-5:] if line.strip()))
        return ""

    @contextmanager
    def _asking(self, task: str) -> Iterator[Any]:
        """supervisord over a new connection for each question: a restart of supervisord disturbs only this one.

        NodeBroken when supervisord reports a fault or does not answer.
        """
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
    """Make the supervisord that started this process stop its programs, read its files again and restart.

    Uses a signal: the socket may be gone with its folder. `parent` is the parent process id at the start. When that
    supervisord has died, init is the parent, and the signal means something else to it. NodeBroken then, or when no
    supervisord has started this process.
    """
    if os.environ.get("SUPERVISOR_ENABLED") != "1":
        raise NodeBroken("cannot restart supervisord: it did not start this process; restart supervisord by hand")
    if os.getppid() != parent:
        raise NodeBroken("cannot restart supervisord: the one that started this process has ended; start it again")
    os.kill(parent, signal.SIGHUP)


def require_own_python(process: int) -> None:
    """NodeBroken unless `process` runs the Python of this agent. A supervisord that cannot import the agent's guard of
    its port would not start."""
    try:
        first = Path(f"/proc/{process}/cmdline").read_bytes().partition(b"\0")[0]
    except OSError:
        first = b""
    program = Path(shutil.which(os.fsdecode(first)) or "/")
    if program.parent.resolve() != Path(sys.executable).parent.resolve():
        raise NodeBroken(
            f"cannot protect the port of supervisord: it runs {program}, not the Python of the agent; start supervisord"
            f" from the agent's own environment, as {Path(sys.executable).parent}/supervisord"
        )


def _name(group: str, program: str) -> str:
    """The name of a program as supervisorctl writes it."""
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
    """A transport with a time-out: supervisor's own waits for ever when supervisord hangs."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        """The connection, kept where `close` of the base class looks for it."""
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
