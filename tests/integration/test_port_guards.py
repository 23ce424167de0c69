"""Wrong passwords at the TCP port of a real supervisord."""

import os
import socket
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from xmlrpc.client import dumps

import pytest

from da_agent.adapters.supervisors import require_own_python
from da_agent.domain import limits
from da_agent.domain.node import rpc_ports
from da_agent.domain.node.rpc_ports import Credentials
from da_agent.domain.node.variables import parse_node
from da_agent.errors import NodeBroken
from tests.clusters_of_witnesses import folder

MAIN = """\
[supervisord]
nodaemon=true
pidfile={0}/pid
logfile={0}/log
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[unix_http_server]
file={0}/socket
[include]
files={0}/port.conf
"""


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a supervisord that takes commands from admin with the password word."""
    with folder() as path, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = int(probe.getsockname()[1])
        probe.close()
        node = replace(parse_node({}, root=True), rpc_address="127.0.0.1", rpc_port=number)
        section = rpc_ports.section(node, Credentials("admin", "word"))
        assert section is not None
        (path / "port.conf").write_bytes(section)
        (path / "main.conf").write_text(MAIN.format(path))
        with subprocess.Popen(
            (sys.executable, "-m", "supervisor.supervisord", "-c", path / "main.conf"), cwd=path
        ) as running:
            try:
                wait_for(number, running, path)
                yield number
            finally:
                running.terminate()


def wait_for(port: int, running: "subprocess.Popen[bytes]", path: Path) -> None:
    while True:
        assert running.poll() is None, (path / "log").read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)


def status(port: int, words: str | None, source: str = "127.0.0.1", page: str = "/RPC2") -> int:
    with closing(HTTPConnection("127.0.0.1", port, timeout=60, source_address=(source, 0))) as connection:
        headers = {} if words is None else {"Authorization": f"Basic {b64encode(words.encode()).decode()}"}
        body = dumps((), "supervisor.getState") if page == "/RPC2" else None
        connection.request("POST" if body else "GET", page, body, headers)
        return connection.getresponse().status


def test_a_client_that_guesses_is_not_heard_for_a_while_and_others_are(port: int) -> None:
    assert status(port, "admin:word") == 200
    for number in range(limits.WRONG_PASSWORDS):
        assert status(port, f"admin:guess{number}", page=("/RPC2", "/", "/mainlogtail")[number % 3]) == 401
    for page in ("/RPC2", "/", "/mainlogtail"):
        assert status(port, "admin:word", page=page) == 401, "its next guess may be right"
    assert status(port, "admin:word", source="127.0.0.2") == 200


def test_requests_without_a_password_are_no_guesses_and_odd_ones_do_no_harm(port: int) -> None:
    for _ in range(3 * limits.WRONG_PASSWORDS):
        assert status(port, None) == 401
    assert status(port, "no colon") == 401
    assert status(port, "admin:word") == 200


def test_a_supervisord_that_cannot_load_the_guard_gets_no_port() -> None:
    with subprocess.Popen(("/usr/bin/python3", "-c", "input()"), stdin=subprocess.PIPE) as other:
        with pytest.raises(NodeBroken, match="start supervisord from the agent's own environment"):
            require_own_python(other.pid)
        other.communicate(b"\n")
    require_own_python(os.getpid())
