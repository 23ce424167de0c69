"""Notifier between real supervisords: who wakes, who may, and what is lost without."""

import json
import os
import shutil
import socket
import threading
import time
import xmlrpc.client
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer

import pytest

from da_agent.adapters.dev_clusters import DevCluster, DevNode
from da_agent.adapters.notifications import XmlRpcNotifier
from da_agent.adapters.rpc_ports import RpcPortFile, seen_from_outside
from da_agent.domain.node.rpc_ports import Credentials
from da_agent.errors import NodeBroken
from tests import servers
from tests.clusters_of_witnesses import APPLICATIONS, agent, cluster, folder, witness
from tests.supervisorctl import wait_for

WORDS = Credentials("admin", "word")


def configuration(greeting: str, poll: int) -> str:
    return f"greeting: {greeting}\nda agent:\n  poll interval: {poll}\n  quiet period: 0\n"


def credentials(node: DevNode) -> dict[str, str]:
    return {name: value for name, value in node.environment.items() if name.startswith("DASUPERVISOR")}


@contextmanager
def two_nodes(poll: int) -> Iterator[tuple[DevCluster, Mapping[str, str]]]:
    """On a bucket, where nothing but notifies and polls tells a node that there is something new."""
    with servers.ministack() as server:
        location = server.bucket()
        server.client().put_object(Bucket=location.bucket, Key="config.yml", Body=configuration("first", poll).encode())
        with cluster(2, location.url, server.environment()) as made:
            made.wait()
            for node in made.nodes:
                wait_for(node, "sync", "RUNNING")
            yield made, server.environment()


def push(made: DevCluster, tmp_path: Path, greeting: str, poll: int, variables: Mapping[str, str]) -> None:
    """Make it the configuration of every node, and wait until all serve it."""
    config = tmp_path / "pushed.yml"
    config.write_text(configuration(greeting, poll))
    pushed = agent(made, "push", "config", str(config), variables=variables)
    assert pushed.returncode == 0, (pushed.stderr, [node.logs() for node in made.nodes])
    assert [witness(node)["greeting"] for node in made.nodes] == [greeting, greeting]


def test_a_push_wakes_nodes_that_would_sleep_for_an_hour_and_without_the_password_they_are_found_by_polling(
    tmp_path: Path,
) -> None:
    with two_nodes(3600) as (made, variables):
        known = credentials(made.nodes[0])
        push(made, tmp_path, "poked", 1, {**variables, **known})
        status = json.loads(agent(made, "status", "--json", variables=variables).stdout)
        assert sorted(each["rpc"] for each in status["cluster"]["nodes"]) == sorted(
            f"127.0.0.1:{node.seat.rpc_port}" for node in made.nodes
        )
        push(made, tmp_path, "polled", 1, {**variables, **known, "DASUPERVISORPASSWORD": "wrong"})


# ---- the port

PASSWORD = """50%s ; "quoted" 'single' \\ #"""


def test_a_node_opens_its_port_once_the_configuration_has_a_password_and_only_for_that_password() -> None:
    with folder() as path:
        made = DevCluster.create(
            path,
            nodes=1,
            application="witness:application",
            application_path=Path(shutil.copytree(APPLICATIONS, path / "applications")),
            environment=os.environ,
        )
        config = {"supervisor": {"username": "admin", "password": PASSWORD}}
        (path / "store" / "config.yml").write_text(json.dumps(config))
        seat, variables = made.nodes[0].seat, made.nodes[0].environment
        node = DevNode(seat, {name: variables[name] for name in variables.keys() - credentials(made.nodes[0]).keys()})
        node.start()
        try:
            wait_for(node, "sync", "RUNNING")
            log = (node.root / "agent" / "log" / "supervisord.log").read_text()
            assert log.count("received SIGHUP") == 1
            assert notify(node, "admin", PASSWORD)
            refuses_everybody_else(node)
        finally:
            node.stop()


def refuses_everybody_else(node: DevNode) -> None:
    for page in ("/", "/mainlogtail", "/logtail/sync/stderr", "/index.html?action=stopall"):
        assert status(node, "GET", page) == 401
    assert status(node, "POST", "/RPC2") == 401
    assert not notify(node, "admin", "")
    assert not notify(node, "admin", "wrong")
    file = node.root / "agent" / "supervisor" / "rpc-port.conf"
    assert file.stat().st_mode & 0o777 == 0o600
    hashed = file.read_text().partition("password=")[2].strip()
    assert not notify(node, "admin", hashed)
    assert not notify(node, "admin", hashed.removeprefix("{SHA}"))


def status(node: DevNode, method: str, page: str) -> int:
    assert node.seat.rpc_port is not None
    connection = HTTPConnection("127.0.0.1", node.seat.rpc_port, timeout=10)
    try:
        connection.request(method, page, xmlrpc.client.dumps((), "supervisor.getState") if method == "POST" else None)
        return connection.getresponse().status
    finally:
        connection.close()


def notify(node: DevNode, username: str, password: str) -> bool:
    address = f"127.0.0.1:{node.seat.rpc_port}"
    return not XmlRpcNotifier().notify({"node": address}, Credentials(username, password))


# ---- the file that opens it


def test_the_file_is_changed_when_it_differs_and_only_then(tmp_path: Path) -> None:
    path = tmp_path / "supervisor" / "rpc-port.conf"
    file = RpcPortFile(path)
    port = free_port()
    first, second = (f"port=127.0.0.1:{port}\n{rest}".encode() for rest in "ab")
    assert file.put(None, "127.0.0.1", None) is False
    assert [file.put(each, "127.0.0.1", port) for each in (first, first, second, second)] == [True, False, True, False]
    assert path.read_bytes() == second
    assert [file.put(None, "127.0.0.1", None) for _ in range(2)] == [True, False]
    assert list(path.parent.iterdir()) == []


def test_a_port_that_somebody_else_has_is_left_alone_or_supervisord_would_not_start(tmp_path: Path) -> None:
    file = RpcPortFile(tmp_path / "rpc-port.conf")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        with pytest.raises(NodeBroken, match=f"cannot open 127.0.0.1:{port} for supervisord: address already in use"):
            file.put(f"port=127.0.0.1:{port}\n".encode(), "127.0.0.1", port)
        assert list(tmp_path.iterdir()) == []


def test_a_new_password_is_taken_although_our_own_supervisord_has_the_port(tmp_path: Path) -> None:
    file = RpcPortFile(tmp_path / "rpc-port.conf")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        (tmp_path / "rpc-port.conf").write_text(f"port=127.0.0.1:{port}\npassword=old\n")
        listening.listen()
        assert file.put(f"port=127.0.0.1:{port}\npassword=new\n".encode(), "127.0.0.1", port)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_others_are_told_an_address_that_they_can_use() -> None:
    assert seen_from_outside("10.0.0.7") == "10.0.0.7"
    assert seen_from_outside("0.0.0.0") not in ("", "0.0.0.0")


# ---- who does not answer


def test_whoever_does_not_answer_is_named_and_does_not_hold_up_the_others() -> None:
    answer = xmlrpc.client.dumps((True,), methodresponse=True).encode()
    well = b"HTTP/1.0 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer
    with ExitStack() as stack:
        addresses = {
            "well": stack.enter_context(answering(well)),
            "wrong answer": stack.enter_context(answering(b"HTTP/1.0 200 OK\r\n\r\n<not xml")),
            "no http": stack.enter_context(answering(b"SSH-2.0\r\n")),
            "hangs up": stack.enter_context(answering(b"")),
            "refuses": f"127.0.0.1:{free_port()}",
            "no port": "127.0.0.1:99999",
            "no address": "evil@127.0.0.1:80/?",
            "nothing": "",
        }
        silent = stack.enter_context(answering(None))
        addresses |= {f"silent {number}": silent for number in range(150)}
        began = time.monotonic()
        deaf = XmlRpcNotifier().notify(addresses, WORDS)
        assert time.monotonic() - began < 4
    assert deaf == addresses.keys() - {"well"}


def test_nobody_to_notification_is_nobody_missed() -> None:
    assert XmlRpcNotifier().notify({}, WORDS) == frozenset()


@contextmanager
def answering(answer: bytes | None) -> Iterator[str]:
    """The address of a server that gives everybody this answer; None: it takes connections and says nothing."""
    ended = threading.Event()

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            if answer is None:
                ended.wait()
            else:
                self.request.recv(65536)
                self.request.sendall(answer)

    class Server(ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 300

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            ended.set()
            server.shutdown()
            thread.join()
