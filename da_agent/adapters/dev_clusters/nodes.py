"""One node of a cluster on this machine, with its own supervisord, Apache, ports and root."""

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import psutil

from da_agent import files
from da_agent.adapters.dev_clusters import processes
from da_agent.adapters.dev_clusters.processes import Known
from da_agent.domain.node import folder_rights, loopbacks
from da_agent.domain.node.paths import Paths
from da_agent.domain.node.variables import parse_node
from da_agent.errors import Invalid, NodeBroken, TimedOut

STOP_TIMEOUT = 150.0
"""Seconds; more than the sum of all stop timeouts in supervisord.conf."""

LONGEST_SOCKET = 107
"""The kernel's limit, in bytes, for the path of a Unix socket."""


class Seat(msgspec.Struct):
    """The record of a node in cluster.json."""

    name: str
    root: str
    http_port: int
    https_port: int
    notify_port: int | None = None
    supervisord: Known | None = None


class DevNode:
    """A node that may or may not run."""

    def __init__(self, seat: Seat, environment: Mapping[str, str]) -> None:
        self.seat = seat
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        return self.seat.name

    @property
    def root(self) -> Path:
        return Path(self.seat.root)

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.seat.http_port}"

    @property
    def https_url(self) -> str:
        return f"https://127.0.0.1:{self.seat.https_port}"

    @property
    def socket(self) -> Path:
        return self.root / "agent" / "run" / "supervisor.sock"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the node's supervisord, and of each command that concerns this node."""
        return {
            **self._environment,
            "DA_AGENT_ROOT": self.seat.root,
            "DA_AGENT_NODE": self.seat.name,
            "DA_AGENT_ADDRESS": "127.0.0.1",
            "DA_AGENT_HTTP_PORT": str(self.seat.http_port),
            "DA_AGENT_HTTPS_PORT": str(self.seat.https_port),
            "DA_AGENT_COMMAND": f"{sys.executable} -m da_agent",
            **({} if self.seat.notify_port is None else {"DA_AGENT_NOTIFY_PORT": str(self.seat.notify_port)}),
        }

    @property
    def running(self) -> bool:
        return self.seat.supervisord is not None and self.seat.supervisord.find() is not None

    def check(self) -> None:
        """Raise Invalid when the root or a variable is unusable. Called before any node starts."""
        parse_node(self.environment, root=os.geteuid() == 0)
        if len(os.fsencode(self.socket)) > LONGEST_SOCKET:
            raise Invalid(
                f"{self.socket} is longer than the {LONGEST_SOCKET} bytes of a socket: choose a shorter --root"
            )

    def start(self) -> None:
        """Start the node's supervisord, which prepares the node and ends processes that an earlier one left.

        Does nothing when the node runs.
        """
        if self.running:
            return
        self._reap()
        with files.on_this_node(f"start {self.name} below {self.root}"):
            self.root.mkdir(parents=True, exist_ok=True, mode=0o755)
            files.make_folders(folder_rights.folders(Paths(self.root), one_user=os.geteuid() != 0), None)
            configuration = str(resources.files("da_agent") / "supervisord.conf")
            with (self.root / "agent" / "log" / "supervisord.out").open("ab") as log:
                self._process = subprocess.Popen(
                    (sys.executable, "-m", "supervisor.supervisord", "-n", "-c", configuration),
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    # Ctrl-C at the terminal must reach only this program, which stops the nodes in order.
                    start_new_session=True,
                )
        self.seat.supervisord = processes.known(self._process.pid)

    def begin_to_stop(self, *, in_order: bool = True) -> None:
        """Tell supervisord to end. Not `in_order`: the node does not drain, as when the whole cluster stops."""
        process = self.seat.supervisord.find() if self.seat.supervisord else None
        if process is not None:
            if not in_order:
                processes.skip_departure(process)
            process.terminate()

    def stop(self) -> list[str]:
        """End all processes of this node; returns "pid name" of each that supervisord left and that was killed."""
        self.begin_to_stop()
        process = self.seat.supervisord.find() if self.seat.supervisord else None
        if process is not None:
            psutil.wait_procs([process], timeout=STOP_TIMEOUT)
        orphans = processes.of_root(self.root)
        names = [f"{each.pid} {each.name()}" for each in orphans if each.is_running()]
        processes.kill(orphans)
        self._reap()
        return names

    def join(self) -> None:
        """Return when the node's supervisord has ended."""
        process = self.seat.supervisord.find() if self.seat.supervisord else None
        if process is not None:
            psutil.wait_procs([process])

    def kill(self) -> None:
        """Kill all processes of this node at once, as a power cut would."""
        processes.kill(processes.of_root(self.root))
        self._reap()

    def health(self) -> dict[str, Any] | None:
        """What the agent's listener answers at the loader's URL; None without a valid answer within 5 seconds, and
        while visitors get none."""
        node = parse_node(self.environment, root=os.geteuid() == 0)
        try:
            secret = loopbacks.secret(Paths(self.root).secret.read_text())
            _get("127.0.0.1", node.http_port, {})
            answer: dict[str, Any] = json.loads(
                _get(node.loopback, node.agent_port, {loopbacks.GROUP_HEADER: f"{secret} live"})
            )
        except (OSError, http.client.HTTPException, ValueError):
            return None
        return answer

    def wait(self, release: int, patience: float) -> None:
        """Return once the node serves `release` or a newer one.

        Raises TimedOut after `patience` seconds and NodeBroken when the node has ended, both with the end of its logs.
        """
        deadline = time.monotonic() + patience
        while True:
            answer = self.health()
            if answer is not None and not answer.get("error") and (answer.get("release") or 0) >= release:
                return
            if not self.running:
                raise NodeBroken(f"{self.name} has ended: {self.logs()}")
            if time.monotonic() > deadline:
                raise TimedOut(f"{self.name} does not serve release {release}: {answer}; {self.logs()}")
            time.sleep(0.1)

    def logs(self) -> str:
        """The last lines of the logs of the node's programs."""
        lines = []
        for name in ("initialize.log", "sync.log", "supervisord.log"):
            try:
                text = (self.root / "agent" / "log" / name).read_text(errors="replace")
            except OSError:
                continue
            lines += [f"{name}: {line}" for line in text.splitlines()[-5:]]
        return "; ".join(lines)

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait()
            self._process = None
        self.seat.supervisord = None


def _get(host: str, port: int, headers: Mapping[str, str]) -> bytes:
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", loopbacks.HEALTH, headers=dict(headers))
        return connection.getresponse().read()
    finally:
        connection.close()
