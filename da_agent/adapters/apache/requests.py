"""Requests of the agent to its own web server: the loader's URL until every worker process has had its say."""

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

from da_agent.domain.application.readiness import Answer
from da_agent.ports import Reply

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

HEALTH = "/.well-known/da-agent"
TIMEOUT = 2.0
"""Seconds for one question. It may be less than the application takes to load: the next time will see it."""
PERIOD = 4.0
"""Seconds after which no further round is begun."""
MOST_AT_ONCE = 32
FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.2
"""Seconds between two rounds: the questions must not keep the processes from their work."""
PAGE = 65536
"""Bytes of a page that are of interest."""


@dataclass(frozen=True, slots=True)
class Door:
    """Where the web server is asked; `headers` may name the group that is to answer."""

    host: str
    port: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # has the secret in it


def listens(door: Door) -> bool:
    """Whether anything accepts a connection there."""
    try:
        with socket.create_connection((door.host, door.port), TIMEOUT):
            return True
    except TimeoutError:
        # Something does, and has no time.
        return True
    except OSError:
        return False


def ask(door: Door, at_least: int) -> tuple[Answer, ...]:
    """Ask in rounds until `at_least` processes have answered, nobody answers, or time is up; the newest of each.

    Which process takes a connection is chance: twice as many connections at once as processes, and a few rounds,
    reach every one that is free.
    """
    at_once = min(MOST_AT_ONCE, max(4, 2 * at_least))
    ends = time.monotonic() + PERIOD
    newest: dict[int, Answer] = {}
    pause = FIRST_PAUSE
    with ThreadPoolExecutor(at_once, thread_name_prefix="ask") as pool:
        while True:
            answers = [answer for answer in pool.map(lambda _: _one(door), range(at_once)) if answer]
            # Within a round the order is chance, but a process never changes the release that it has loaded.
            newest.update({answer.pid: answer for answer in sorted(answers, key=lambda each: each.release is not None)})
            if not answers or len(newest) >= at_least or time.monotonic() > ends:
                return tuple(newest[pid] for pid in sorted(newest))
            time.sleep(pause)
            pause = min(1.5 * pause, LONGEST_PAUSE)


class _Timed(io.RawIOBase):
    """What a socket receives until a moment of the steady clock, however little comes at a time."""

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
    """As much of a connected socket as a request needs."""

    def __init__(self, connected: socket.socket, ends: float) -> None:
        self._connected = connected
        self._ends = ends
        self.sendall = connected.sendall

    def close(self) -> None:
        """The answer may still have to be read: whoever has connected closes."""

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Timed(self._connected, self._ends))


def get(door: Door, path: str, timeout: float) -> Reply | None:
    """A page and the beginning of its text; None when that has not come within `timeout` seconds altogether."""
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
        return Answer(int(said["pid"]), number, said.get("fingerprint"), said["error"], int(said.get("active", 0)))
    except (ValueError, KeyError, TypeError):
        return None


def is_free(address: str, port: int) -> bool:
    """True when no program listens there, as far as the kernel tells."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("" if address == "*" else address, port))
        except OSError as error:
            return error.errno != errno.EADDRINUSE
        return True
