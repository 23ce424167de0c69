"""A real haproxy in front of a cluster's nodes."""

import csv
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HEALTH = "/.well-known/da-agent"

CONFIGURATION = """\
global
    stats socket {socket} mode 600 level admin
    # Only what is unhealthy: errors, cut answers, connections that were tried again, changes of a node's state.
    log stdout format raw local0
    maxconn 8000

defaults
    mode http
    log global
    option httplog
    option dontlog-normal
    option log-health-checks
    timeout connect 5s
    timeout client 120s
    timeout server 120s
    timeout check 5s
    timeout http-request 10s
    timeout http-keep-alive 60s
    http-reuse safe
    # What a node has been asked is never asked again of anybody: a request that a node loses is a failed request. Only
    # a connection that could not be made is made to another node, as haproxy does by default; it carried nothing yet.
    # `states` counts these, so that whoever expects none can say so.
    retry-on conn-failure
    retries 3
    option redispatch 1

frontend visitors
    bind fd@{descriptor}
    default_backend nodes

backend nodes
    balance roundrobin
    option httpchk
    http-check send meth GET uri {health}
    http-check expect status 200
    http-response set-header X-Node %s
    default-server check inter 200ms fall 1 rise 1
"""


@dataclass(frozen=True, slots=True)
class State:
    """A node as haproxy sees it. `current` are requests under way; the others are counts since the start."""

    status: str
    current: int
    requests: int
    failed_connections: int
    failed_answers: int
    reconnections: int

    @property
    def up(self) -> bool:
        return self.status == "UP"


class HAProxy:
    """A haproxy that is running."""

    def __init__(self, url: str, path: Path, log: Path) -> None:
        self.url = url
        self._path = path
        self._log = log

    def states(self) -> dict[str, State]:
        """Every node's, by name."""
        rows = csv.DictReader(self.command("show stat").lstrip("# ").splitlines())
        return {
            row["svname"]: State(
                status=row["status"],
                current=int(row["scur"]),
                requests=int(row["stot"]),
                failed_connections=int(row["econ"]),
                failed_answers=int(row["eresp"]),
                reconnections=int(row["wretr"]) + int(row["wredis"]),
            )
            for row in rows
            if row["pxname"] == "nodes" and row["svname"] != "BACKEND"
        }

    def wait(self, wanted: Callable[[dict[str, State]], bool], seconds: float = 120.0) -> None:
        """Return when the states are `wanted`; AssertionError after `seconds`."""
        ends = time.monotonic() + seconds
        while not wanted(states := self.states()):
            assert time.monotonic() < ends, f"not within {seconds} s: {states}; {self.complaints()[-5:]}"
            time.sleep(0.05)

    def all_up(self, seconds: float = 120.0) -> None:
        """Return when every node is up."""
        self.wait(lambda states: all(state.up for state in states.values()), seconds)

    def complaints(self) -> list[str]:
        """Everything that was not well, except for changes of a node's state."""
        return [line for line in self._log.read_text().splitlines() if " visitors nodes/" in line]

    def command(self, text: str) -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            connection.connect(str(self._path))
            connection.sendall(f"{text}\n".encode())
            with connection.makefile() as answer:
                return answer.read()


@contextmanager
def haproxy(nodes: Mapping[str, int], health: str = HEALTH) -> Iterator[HAProxy]:
    """In front of `nodes`, ports of this machine by name. They may be starting: see `all_up`."""
    with tempfile.TemporaryDirectory(prefix="haproxy-", dir="/tmp") as folder, socket.socket() as listening:
        path, log, configuration = (Path(folder) / name for name in ("socket", "log", "haproxy.cfg"))
        listening.bind(("127.0.0.1", 0))
        listening.listen(1024)
        descriptor = listening.fileno()
        text = CONFIGURATION.format(socket=path, descriptor=descriptor, health=health)
        text += "".join(f"    server {name} 127.0.0.1:{port}\n" for name, port in nodes.items())
        configuration.write_text(text)
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["/usr/sbin/haproxy", "-db", "-f", configuration],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[descriptor],
            )
        try:
            _await_socket(process, path, log)
            yield HAProxy(f"http://127.0.0.1:{listening.getsockname()[1]}", path, log)
        finally:
            process.terminate()
            process.wait()


def _await_socket(process: "subprocess.Popen[bytes]", path: Path, log: Path) -> None:
    ends = time.monotonic() + 30
    while not path.exists():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < ends, log.read_text()
        time.sleep(0.02)
