"""One whole node of a cluster on this machine: its own supervisord, Apache, ports and root."""

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
from da_agent.domain.node import rpc_ports
from da_agent.domain.node.paths import Paths
from da_agent.domain.node.variables import parse_node
from da_agent.errors import Invalid, NodeBroken, TimedOut

STOP_TIMEOUT = 125.0
"""Seconds: more than all that supervisord.conf waits for, one after the other."""

LONGEST_SOCKET = 107
"""Bytes: the kernel's limit for the name of a Unix socket."""

HEALTH = "/.well-known/da-agent"


class Seat(msgspec.Struct):
    """What is kept of a node in cluster.json."""

    name: str
    root: str
    http_port: int
    https_port: int
    rpc_port: int | None = None
    supervisord: Known | None = None


class DevNode:
    """A node, running or not."""

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
        """What the node's supervisord, and a command that speaks of this node, is started with."""
        return {
            **self._environment,
            "DA_AGENT_ROOT": self.seat.root,
            "DA_AGENT_NODE": self.seat.name,
            "DA_AGENT_ADDRESS": "127.0.0.1",
            "DA_AGENT_HTTP_PORT": str(self.seat.http_port),
            "DA_AGENT_HTTPS_PORT": str(self.seat.https_port),
            "DA_AGENT_COMMAND": f"{sys.executable} -m da_agent",
            **({} if self.seat.rpc_port is None else {"DA_AGENT_RPC_PORT": str(self.seat.rpc_port)}),
        }

    @property
    def running(self) -> bool:
        return self.seat.supervisord is not None and self.seat.supervisord.find() is not None

    def check(self) -> None:
        """Invalid when its root or its variables are of no use, before anything is started."""
        parse_node(self.environment, root=os.geteuid() == 0)
        if len(os.fsencode(self.socket)) > LONGEST_SOCKET:
            raise Invalid(
                f"{self.socket} is longer than the {LONGEST_SOCKET} bytes of a socket: choose a shorter --root"
            )

    def start(self) -> None:
        """Start its supervisord; it makes the node ready by itself, and ends what an earlier one has left."""
        if self.running:
            return
        self._reap()
        with files.on_this_node(f"start {self.name} below {self.root}"):
            for folder in (self.root / "agent" / "run", self.root / "agent" / "log"):
                folder.mkdir(parents=True, exist_ok=True, mode=0o755)
            self._open_rpc_port()
            configuration = str(resources.files("da_agent") / "supervisord.conf")
            with (self.root / "agent" / "log" / "supervisord.out").open("ab") as log:
                self._process = subprocess.Popen(
                    (sys.executable, "-m", "supervisor.supervisord", "-n", "-c", configuration),
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    # Ctrl-C at the terminal is for us: we end the nodes in order.
                    start_new_session=True,
                )
        self.seat.supervisord = processes.known(self._process.pid)

    def _open_rpc_port(self) -> None:
        """Before supervisord starts, or `initialize` would have to start it again."""
        credentials = rpc_ports.given(self.environment)
        if credentials is not None:
            section = rpc_ports.section(parse_node(self.environment, root=os.geteuid() == 0), credentials)
            if section is not None:
                files.replace(Paths(self.root).rpc_port, section)

    def begin_to_stop(self, *, in_order: bool = True) -> None:
        """Not `in_order`: nothing waits until visitors go elsewhere, as when there is no other node to go to."""
        process = self.seat.supervisord.find() if self.seat.supervisord else None
        if process is not None:
            if not in_order:
                processes.skip_departure(process)
            process.terminate()

    def stop(self) -> list[str]:
        """End everything of this node; returns what had to be killed because supervisord left it behind."""
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
        """Return when its supervisord has ended."""
        process = self.seat.supervisord.find() if self.seat.supervisord else None
        if process is not None:
            psutil.wait_procs([process])

    def kill(self) -> None:
        """As when the power is cut: everything of this node at once."""
        processes.kill(processes.of_root(self.root))
        self._reap()

    def health(self) -> dict[str, Any] | None:
        """What the loader's URL answers; None when nothing does."""
        connection = http.client.HTTPConnection("127.0.0.1", self.seat.http_port, timeout=5)
        try:
            connection.request("GET", HEALTH)
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()
        return answer

    def wait(self, release: int, patience: float) -> None:
        """Return once the node answers from `release` or a newer one; TimedOut with the end of its logs."""
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
        """The last lines of what its programs said."""
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
