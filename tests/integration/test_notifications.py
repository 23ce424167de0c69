"""Notifications between real nodes: who is woken, by whom, what an attacker gets, and what is lost without."""

import json
import os
import shutil
import socket
import threading
import time
import xmlrpc.client
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path

import pytest

from da_agent.adapters.dev_clusters import DevCluster, DevNode
from da_agent.adapters.notification_ports import receiving, seen_from_outside
from da_agent.adapters.notifications import DatagramNotifier
from da_agent.adapters.rpc_ports import RpcPortFile
from da_agent.domain import limits
from da_agent.domain.node.notifications import Contact, Key, Message, MessageKind, contact, signed
from da_agent.domain.node.reports import Phase, Report
from da_agent.domain.store import keys
from da_agent.domain.store.blobs import blob_of
from da_agent.errors import NodeBroken
from da_agent.ports import Always
from da_agent.wiring import NodeAgent
from da_agent.workflows.records import reports
from tests import servers
from tests.clusters_of_witnesses import APPLICATIONS, agent, cluster, folder, witness
from tests.fake_nodes import contents, release
from tests.supervisorctl import wait_for

KEY = Key(b"of this cluster")
SECRETS = ("abcdefghijklmnop", "hunter2")
PASSWORD = """50%s ; "quoted" 'single' \\ #"""


def configuration(greeting: str, poll: int) -> str:
    return f"secretkey: {SECRETS[0]}\ngreeting: {greeting}\nda agent:\n  poll interval: {poll}\n  quiet period: 0\n"


@contextmanager
def two_nodes(poll: int) -> Iterator[tuple[DevCluster, Mapping[str, str]]]:
    """On a bucket, where nothing but notifications and polls tells a node that there is something new."""
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


def test_a_push_wakes_nodes_that_would_sleep_for_an_hour(tmp_path: Path) -> None:
    with two_nodes(3600) as (made, variables):
        push(made, tmp_path, "notified", 3600, variables)
        status = json.loads(agent(made, "status", "--json", variables=variables).stdout)
        assert sorted(each["notify"] for each in status["cluster"]["nodes"]) == sorted(
            f"127.0.0.1:{node.seat.notify_port}" for node in made.nodes
        )


# ---- what an attacker gets


def test_a_forged_report_brings_no_byte_to_the_attacker_and_a_stolen_one_no_secret(tmp_path: Path) -> None:
    variables = {"DA_AGENT_STORE": f"file://{tmp_path}/store", "DA_AGENT_ROOT": f"{tmp_path}/root"}
    variables |= {"DASUPERVISORUSERNAME": "admin", "DASUPERVISORPASSWORD": SECRETS[1]}
    machine = served(tmp_path, variables)
    key = machine.notification_key()
    assert key is not None
    with socket.socket() as over_tcp, socket.socket(type=socket.SOCK_DGRAM) as over_udp:
        over_tcp.bind(("127.0.0.1", 0))
        over_tcp.listen()
        here = f"127.0.0.1:{over_tcp.getsockname()[1]}"
        over_udp.bind(over_tcp.getsockname())
        for there in (Contact(here, ""), Contact(here, contact("web-1", "10.0.0.7:9001", key).proof)):
            report(machine, "web-1", there)
            machine.notifications.wake(machine.notifications.alive())
            assert heard(over_udp) == heard(over_tcp) == []
        # The address that the node had yesterday now belongs to the attacker.
        report(machine, "web-1", contact("web-1", here, key))
        machine.notifications.wake(machine.notifications.alive())
        said = b"".join(heard(over_udp))
        assert heard(over_tcp) == []
    assert b"web-1" in said
    assert not any(secret.encode() in said or b64encode(f"admin:{secret}".encode()) in said for secret in SECRETS)


def served(tmp_path: Path, variables: Mapping[str, str]) -> NodeAgent:
    """An agent whose store has one release."""
    (tmp_path / "store").mkdir()
    (tmp_path / "root").mkdir()
    machine = NodeAgent(variables)
    config = configuration("hello", 10).encode()
    machine.store.write(keys.blob_key(blob_of(config)), config, Always())
    machine.ledger.append(release(1, contents(config)))
    return machine


def report(machine: NodeAgent, node: str, there: Contact) -> None:
    now = machine.store.clock()
    reports.send(
        machine.store, Report(node, "host", "10.0.0.7:80", 1, 1, Phase.SERVING, None, "0", "3.11", now, contact=there)
    )


def heard(channel: socket.socket) -> list[bytes]:
    """What has arrived. Both ends are sockets of this machine, so what was sent is there."""
    channel.setblocking(False)
    found = []
    with suppress(BlockingIOError):
        while True:
            found.append(channel.accept()[0].recv(65536) if channel.type == socket.SOCK_STREAM else channel.recv(65536))
    return found


# ---- what wakes a node


class Bell:
    """Counts how often it rings."""

    def __init__(self) -> None:
        self.rings = 0
        self.rung = threading.Event()

    def ring(self) -> None:
        self.rings += 1
        self.rung.set()


@contextmanager
def node_a(key: Key | None = KEY) -> Iterator[tuple[Bell, tuple[str, int]]]:
    """A node that takes notifications."""
    bell, port = Bell(), free_port(socket.SOCK_DGRAM)
    with receiving("127.0.0.1", port, "a", lambda: key, bell.ring):
        yield bell, ("127.0.0.1", port)


def test_a_holder_of_the_key_wakes_the_node_and_gets_an_answer() -> None:
    with node_a() as (bell, there):
        assert DatagramNotifier().notify({"a": there}, KEY) == frozenset()
        assert bell.rings == 1


def test_without_the_key_no_datagram_wakes_the_node_or_is_answered() -> None:
    with node_a() as (bell, there), socket.socket(type=socket.SOCK_DGRAM) as channel:
        fresh = Message(MessageKind.NOTIFY, "a", int(time.time()), "0" * 32)
        for datagram in (
            b"",
            b"x" * 2000,
            signed(fresh, Key(b"of another cluster")),
            signed(fresh, KEY)[:-1],
            signed(replace(fresh, node="b"), KEY),
            signed(replace(fresh, at=fresh.at - 3600), KEY),
            signed(replace(fresh, kind=MessageKind.HEARD), KEY),
        ):
            channel.sendto(datagram, there)
        # Answered after all others: datagrams between two sockets of one machine keep their order.
        assert DatagramNotifier().notify({"a": there}, KEY) == frozenset()
        assert bell.rings == 1
        assert heard(channel) == []


def test_a_recorded_notification_wakes_the_node_once() -> None:
    recorded = signed(Message(MessageKind.NOTIFY, "a", int(time.time()), "0" * 32), KEY)
    with node_a() as (bell, there), socket.socket(type=socket.SOCK_DGRAM) as channel:
        channel.settimeout(60)
        for _ in range(20):
            channel.sendto(recorded, there)
            assert len(channel.recv(65536)) < len(recorded)
        assert bell.rings == 1


def test_a_node_without_a_key_hears_nothing() -> None:
    with node_a(key=None) as (bell, there):
        assert DatagramNotifier().notify({"a": there}, KEY) == {"a"}
        assert bell.rings == 0


def test_wrong_signatures_are_slowed_down() -> None:
    """The node looks at twenty a second at most, so that neither trying nor a flood takes its processor."""
    looked = threading.Semaphore(0)

    def key() -> Key:
        looked.release()
        return KEY

    port = free_port(socket.SOCK_DGRAM)
    with (
        receiving("127.0.0.1", port, "a", key, lambda: None),
        socket.socket(type=socket.SOCK_DGRAM) as channel,
    ):
        began = time.monotonic()
        for _ in range(10):
            channel.sendto(b"wrong", ("127.0.0.1", port))
        for _ in range(10):
            assert looked.acquire(timeout=60)
        assert time.monotonic() - began >= 9 * limits.WRONG_NOTIFICATION.total_seconds()


def test_a_port_that_another_program_has_is_an_error_with_a_remedy() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with (
            pytest.raises(NodeBroken, match=rf"cannot open UDP port 127.0.0.1:{port} .* in use. Set DA_AGENT_NOTIFY"),
            receiving("127.0.0.1", port, "a", lambda: KEY, lambda: None),
        ):
            pass


def test_others_are_told_an_address_that_they_can_use() -> None:
    assert seen_from_outside("10.0.0.7") == "10.0.0.7"
    assert seen_from_outside("0.0.0.0") not in ("", "0.0.0.0")


# ---- who does not answer


def test_those_that_do_not_answer_are_named_in_time_whatever_they_say_instead() -> None:
    with ExitStack() as stack:
        bell, well = stack.enter_context(node_a())
        destinations = {
            "a": well,
            "no route": ("203.0.113.5", 9),
            "nobody": ("127.0.0.1", free_port(socket.SOCK_DGRAM)),
        }
        destinations["talks"] = stack.enter_context(talking())
        silent = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        silent.bind(("127.0.0.1", 0))
        destinations |= {f"silent {number}": silent.getsockname() for number in range(1500)}
        began = time.monotonic()
        deaf = DatagramNotifier().notify(destinations, KEY)
        took = time.monotonic() - began
    assert deaf == destinations.keys() - {"a"}
    assert took < 3 * limits.ANSWERS.total_seconds()
    assert bell.rings == 1


def test_with_no_node_to_notify_none_is_missed() -> None:
    assert DatagramNotifier().notify({}, KEY) == frozenset()


@contextmanager
def talking() -> Iterator[tuple[str, int]]:
    """A server that answers the first datagram without end, with what no holder of the key has signed."""
    ended = threading.Event()
    channel = socket.socket(type=socket.SOCK_DGRAM)
    channel.bind(("127.0.0.1", 0))
    channel.settimeout(0.1)

    def talk() -> None:
        sender = None
        while not ended.wait(0.01):
            with suppress(OSError):
                sender = sender or channel.recvfrom(65536)[1]
                channel.sendto(b"x" * 60000, sender)

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        yield channel.getsockname()
    finally:
        ended.set()
        thread.join()
        channel.close()


# ---- the port of supervisord


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
        node = DevNode(seat, {**variables, "DA_AGENT_RPC_PORT": str(free_port())})
        node.start()
        try:
            wait_for(node, "sync", "RUNNING")
            log = (node.root / "agent" / "log" / "supervisord.log").read_text()
            assert log.count("received SIGHUP") == 1
            assert commands(node, "admin", PASSWORD)
            refuses_everybody_else(node)
        finally:
            node.stop()


def refuses_everybody_else(node: DevNode) -> None:
    for page in ("/", "/mainlogtail", "/logtail/sync/stderr", "/index.html?action=stopall"):
        assert status(node, "GET", page) == 401
    assert status(node, "POST", "/RPC2") == 401
    assert not commands(node, "admin", "")
    assert not commands(node, "admin", "wrong")
    file = node.root / "agent" / "supervisor" / "rpc-port.conf"
    assert file.stat().st_mode & 0o777 == 0o600
    hashed = file.read_text().partition("password=")[2].strip()
    assert not commands(node, "admin", hashed)
    assert not commands(node, "admin", hashed.removeprefix("{SHA}"))


def status(node: DevNode, method: str, page: str, authorization: str = "") -> int:
    connection = HTTPConnection("127.0.0.1", int(node.environment["DA_AGENT_RPC_PORT"]), timeout=30)
    try:
        body = xmlrpc.client.dumps((), "supervisor.getState") if method == "POST" else None
        connection.request(method, page, body, {"Authorization": authorization} if authorization else {})
        return connection.getresponse().status
    finally:
        connection.close()


def commands(node: DevNode, username: str, password: str) -> bool:
    """Whether supervisord takes commands with this password."""
    words = b64encode(f"{username}:{password}".encode()).decode()
    return status(node, "POST", "/RPC2", f"Basic {words}") == 200


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


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(type=kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
