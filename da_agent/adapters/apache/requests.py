"""Requests from the agent to its own web server: it asks the loader's URL until every worker has answered."""

import errno
import http.client
import io
import json
import socket
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from da_agent.domain import texts
from da_agent.domain.application.readiness import Answer
from da_agent.domain.node.loopbacks import HEALTH
from da_agent.errors import NodeBroken
from da_agent.ports import Reply

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

TIMEOUT = 2.0
"""Seconds for one request. The application may take longer to load; a later round sees its answer."""
PERIOD = 4.0
"""Seconds after which no new round starts."""
MOST_AT_ONCE = 32
FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.2
"""Seconds between two rounds: the requests must not keep the workers from their work."""
PATIENCE = 10.0
"""Seconds in which a started Apache must open its port."""
PAGE = 65536
"""Bytes of a page that are read."""


@dataclass(frozen=True, slots=True)
class Door:
    """Where Apache answers the agent; `headers` name the group of processes that must answer, and prove who asks."""

    host: str
    port: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # has the secret in it


def listens(door: Door) -> bool:
    """True when a program accepts connections there, or is too busy to."""
    try:
        with socket.create_connection((door.host, door.port), TIMEOUT):
            return True
    except TimeoutError:
        # A program listens but is too busy to accept.
        return True
    except OSError:
        return False


def ask(door: Door, at_least: int) -> tuple[Answer, ...]:
    """The newest answer of each process, sorted by pid.

    Asks in rounds until `at_least` processes have answered, a round gets no answer, or PERIOD has passed.
    Chance decides which process takes a connection. Twice as many connections as processes, over a few rounds,
    reach every process that is free.
    """
    at_once = min(MOST_AT_ONCE, max(4, 2 * at_least))
    ends = time.monotonic() + PERIOD
    newest: dict[int, Answer] = {}
    pause = FIRST_PAUSE
    with ThreadPoolExecutor(at_once, thread_name_prefix="ask") as pool:
        while True:
            answers = [answer for answer in pool.map(lambda _: _one(door), range(at_once)) if answer]
            # Answers of one round have no order. A loaded release wins: a process never changes it.
            newest.update({answer.pid: answer for answer in sorted(answers, key=lambda each: each.release is not None)})
            if not answers or len(newest) >= at_least or time.monotonic() > ends:
                return tuple(newest[pid] for pid in sorted(newest))
            time.sleep(pause)
            pause = min(1.5 * pause, LONGEST_PAUSE)


class _Timed(io.RawIOBase):
    """A stream of what a socket receives until `ends` on the monotonic clock, even when it trickles in."""

    def __init__(self, receiver: socket.socket, ends: float) -> None:
        self._receiver = receiver
        self._ends = ends

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._receiver.settimeout(left)
        return self._receiver.recv_into(buffer)


class _TimedSocket:
    """The part of a socket's interface that http.client needs."""

    def __init__(self, connected: socket.socket, ends: float) -> None:
        self._connected = connected
        self._ends = ends
        self.sendall = connected.sendall

    def close(self) -> None:
        """Do nothing: the response may still be unread, and `get` closes the socket."""

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Timed(self._connected, self._ends))


def get(door: Door, path: str, timeout: float) -> Reply | None:
    """The status and first PAGE bytes of a page; None on any failure or after `timeout` seconds in total."""
    ends = time.monotonic() + timeout
    connection = http.client.HTTPConnection(door.host, door.port, timeout=timeout)
    try:
        connection.connect()
        with connection.sock as connected:
            connection.sock = _TimedSocket(connected, ends)
            connection.request("GET", path, headers={**door.headers, "Connection": "close"})
            response = connection.getresponse()
            return Reply(response.status, response.read(PAGE))
    except (OSError, http.client.HTTPException):
        return None


def _one(door: Door) -> Answer | None:
    reply = get(door, HEALTH, TIMEOUT)
    try:
        said = json.loads(reply.start) if reply else {}
        release = said["release"]
        number = None if release is None else int(release)
        error = texts.maybe_reason(said["error"])
        return Answer(int(said["pid"]), number, said.get("fingerprint"), error, int(said.get("active", 0)))
    except (ValueError, KeyError, TypeError, RecursionError, AttributeError):
        return None


def wait_until_open(host: str, port: int, program: str) -> None:
    """Return once connections are accepted there; NodeBroken after PATIENCE."""
    ends = time.monotonic() + PATIENCE
    while not listens(Door(host, port)):
        if time.monotonic() > ends:
            raise NodeBroken(f"port {port} is not open: the log of the program {program} may tell why")
        time.sleep(FIRST_PAUSE)


def is_free(address: str, port: int) -> bool:
    """True unless the kernel reports the port as in use."""
    error = _bind(address, port)
    return error is None or error.errno != errno.EADDRINUSE


def require_free(address: str, port: int) -> None:
    """NodeBroken when Apache could not listen there for PATIENCE: killed processes may hold a port for a moment."""
    ends = time.monotonic() + PATIENCE
    while (error := _bind(address, port)) is not None:
        if error.errno == errno.EADDRINUSE and time.monotonic() < ends:
            time.sleep(FIRST_PAUSE)
            continue
        raise NodeBroken(
            f"cannot listen on {address}:{port}: {error.strerror}; set DA_AGENT_LOOPBACK_PORT to another port, of which"
            " the next one is free too, and start supervisord again"
        )


def _bind(address: str, port: int) -> OSError | None:
    """Why no program can listen there now; None when one can."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("" if address == "*" else address, port))
        except OSError as error:
            return error
        return None
