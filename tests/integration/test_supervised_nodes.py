"""A node under supervisord: whatever is killed, stopped, taken away or asked for."""

import json
import signal
import time
import xmlrpc.client
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from supervisor.xmlrpc import SupervisorTransport

from da_agent import orphans
from da_agent.adapters.apache import processes
from da_agent.adapters.dev_clusters import DevNode
from da_agent.adapters.dev_clusters.processes import of_root as processes_of
from tests import servers
from tests.clusters_of_witnesses import agent, cluster, folder, witness
from tests.supervisorctl import states, supervisorctl, wait_for

ALL_OF_IT = 35.0
"""Seconds: the sum of the stopwaitsecs that can follow each other."""


SETTINGS = {"poll interval": 1, "quiet period": 0, "min healthy": 0}
"""Of a node that nothing has to wait for."""


@pytest.fixture
def node() -> Iterator[DevNode]:
    with cluster(1, settings=SETTINGS) as made:
        made.wait()
        wait_for(made.nodes[0], "sync", "RUNNING")
        yield made.nodes[0]


def store_of(node: DevNode) -> Path:
    return Path(node.environment["DA_AGENT_STORE"].removeprefix("file://"))


def change(node: DevNode, greeting: str) -> None:
    config = store_of(node) / "config.yml"
    lines = [line for line in config.read_text().splitlines() if not line.startswith("greeting: ")]
    # At once, for nobody waits until it is quiet.
    unfinished = config.with_name(".config.yml")
    unfinished.write_text("\n".join([f"greeting: {greeting}", *lines, ""]))
    unfinished.replace(config)


def wait_until(true: Callable[[], bool], node: DevNode, seconds: float = 60.0) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, node.logs()
        time.sleep(0.1)


def serves(node: DevNode, greeting: str | None) -> None:
    def now() -> bool:
        health = node.health()
        try:
            return bool(health and not health.get("error")) and witness(node)["greeting"] == greeting
        except OSError:
            # One process has answered; the one that was asked next has been killed.
            return False

    wait_until(now, node)


def process(node: DevNode, program: str) -> psutil.Process:
    return psutil.Process(int(supervisorctl(node, "pid", program)))


def supervisord(node: DevNode) -> psutil.Process:
    assert node.seat.supervisord is not None
    found = node.seat.supervisord.find()
    assert found is not None
    return found


# ---- ended


@pytest.mark.parametrize("moment", [0.0, 0.3, 0.6, 1.0, 1.5, 2.0, 3.0])
def test_a_node_that_is_told_to_end_while_it_starts_leaves_nothing_behind_and_starts_again(moment: float) -> None:
    with cluster(1) as made:
        # The moment is the parameter: nothing is waited for.
        time.sleep(moment)
        began = time.monotonic()
        assert made.stop() == []
        assert time.monotonic() - began < ALL_OF_IT
        made.start()
        made.wait()
        serves(made.nodes[0], None)


def test_a_request_that_is_being_answered_is_answered_although_the_node_ends() -> None:
    with cluster(1) as made:
        made.wait()
        node = made.nodes[0]
        with psutil.Popen(["/usr/bin/python3", "-c", _SLOW, f"{node.http_url}/slow?3"], stdout=-1, text=True) as client:
            assert client.stdout is not None
            assert client.stdout.readline() == "asked\n"
            time.sleep(0.5)
            assert made.stop() == []
            assert client.stdout.readline() == "200\n"


_SLOW = """
import http.client, sys, urllib.parse
where = urllib.parse.urlsplit(sys.argv[1])
connection = http.client.HTTPConnection(where.hostname, where.port, timeout=30)
connection.request("GET", where.path + "?" + where.query)
print("asked", flush=True)
print(connection.getresponse().status, flush=True)
"""


def test_a_loop_that_is_told_to_end_in_the_middle_of_a_change_leaves_it_to_the_next_one(node: DevNode) -> None:
    for number in range(4):
        change(node, f"change {number}")
        wait_until(lambda: "Staging" in (node.root / "agent/log/sync.log").read_text(), node)
        supervisorctl(node, "stop", "sync")
        assert states(node)["sync"] == "STOPPED"
        supervisorctl(node, "start", "sync")
    serves(node, "change 3")


# ---- killed


def test_a_start_that_is_killed_begins_anew() -> None:
    with cluster(1) as made:
        node = made.nodes[0]
        log = node.root / "agent/log/initialize.log"
        for sentence in ("Wrote the first config.yml", "Staging release 1", "Switching from release none"):
            wait_until(lambda said=sentence: log.exists() and said in log.read_text(), node)  # type: ignore[misc]
            started = supervisorctl(node, "pid", "initialize").strip()
            if started.isdigit() and int(started):
                psutil.Process(int(started)).kill()
        made.wait()
        wait_for(node, "sync", "RUNNING")
        serves(node, None)


def test_a_loop_that_is_killed_is_started_again(node: DevNode) -> None:
    process(node, "sync").kill()
    change(node, "after the kill")
    serves(node, "after the kill")


def test_an_apache_that_is_killed_is_started_again_and_serves_the_same_release(node: DevNode) -> None:
    before = process(node, "apache2")
    before.kill()
    wait_until(lambda: states(node)["apache2"] == "RUNNING" and process(node, "apache2").pid != before.pid, node)
    serves(node, None)
    change(node, "after the kill")
    serves(node, "after the kill")


def test_worker_processes_that_are_killed_are_replaced_by_the_same_release(node: DevNode) -> None:
    change(node, "before the kill")
    serves(node, "before the kill")
    workers = processes.workers(process(node, "apache2").pid)
    assert workers
    for worker in workers:
        psutil.Process(worker.pid).kill()
    serves(node, "before the kill")


def kill_supervisord(node: DevNode) -> list[psutil.Process]:
    """The processes that it leaves."""
    left = processes_of(node.root)
    supervisord(node).kill()
    wait_until(lambda: not node.running, node)
    return left


def test_a_node_whose_supervisord_is_killed_starts_again_among_its_orphans(node: DevNode) -> None:
    left = kill_supervisord(node)
    serves(node, None)
    node.start()
    wait_for(node, "sync", "RUNNING")
    assert states(node)["apache2"] == "RUNNING"
    serves(node, None)
    wait_until(lambda: orphans.gone(left), node)
    change(node, "after the kill")
    serves(node, "after the kill")


def test_a_node_whose_supervisord_is_killed_starts_again_among_orphans_that_hang(node: DevNode) -> None:
    hanging = [process(node, "sync"), process(node, "apache2")]
    for each in hanging:
        each.suspend()
    left = kill_supervisord(node)
    node.start()
    wait_for(node, "sync", "RUNNING")
    serves(node, None)
    assert orphans.gone(left)


def test_a_loop_whose_supervisord_is_killed_ends_by_itself_and_apache_goes_on(node: DevNode) -> None:
    loop = process(node, "sync")
    kill_supervisord(node)
    wait_until(lambda: orphans.gone([loop]), node)
    serves(node, None)
    # No supervisord is there to end it in order.
    node.kill()


def test_a_neighbour_with_another_root_is_not_disturbed_by_what_a_killed_supervisord_left() -> None:
    with cluster(2, settings=SETTINGS) as made:
        made.wait()
        node, neighbour = made.nodes
        for each in made.nodes:
            wait_for(each, "sync", "RUNNING")
        before = {program: process(neighbour, program) for program in ("sync", "apache2")}
        apache = process(node, "apache2")
        kill_supervisord(node)
        apache.kill()
        # As after a long time: the number of its Apache has been given to another process.
        (node.root / "agent/run/apache2.pid").write_text(f"{before['apache2'].pid}\n")
        node.start()
        wait_for(node, "sync", "RUNNING")
        serves(node, None)
        assert {program: process(neighbour, program) for program in before} == before
        serves(neighbour, None)


def test_a_power_cut_in_the_middle_of_a_change_ends_with_the_change(node: DevNode) -> None:
    change(node, "half done")
    wait_until(lambda: "Switching from release 1" in (node.root / "agent/log/sync.log").read_text(), node)
    node.kill()
    node.start()
    serves(node, "half done")


def test_a_supervisord_that_reads_its_files_again_serves_again(node: DevNode) -> None:
    change(node, "before")
    serves(node, "before")
    before = process(node, "apache2").pid
    supervisord(node).send_signal(signal.SIGHUP)
    wait_until(lambda: states(node).get("sync") == "RUNNING" and process(node, "apache2").pid != before, node)
    serves(node, "before")
    change(node, "after")
    serves(node, "after")


# ---- taken away


def test_a_root_that_vanishes_is_made_again(node: DevNode) -> None:
    change(node, "before")
    serves(node, "before")
    node.root.rename(node.root.with_name("gone"))
    wait_until(lambda: states(node).get("sync") == "RUNNING", node)
    serves(node, "before")
    change(node, "after")
    serves(node, "after")


def test_a_node_that_starts_without_its_store_serves_its_last_release_and_follows_when_the_store_is_back(
    node: DevNode,
) -> None:
    change(node, "before")
    wait_until(lambda: "Serving release 2" in (node.root / "agent/log/sync.log").read_text(), node)
    store, away = store_of(node), store_of(node).with_name("away")
    node.stop()
    store.rename(away)
    node.start()
    serves(node, "before")
    wait_for(node, "sync", "RUNNING")
    wait_until(lambda: "cannot use the store" in (node.root / "agent/log/sync.log").read_text(), node)
    away.rename(store)
    change(node, "after")
    serves(node, "after")


def test_an_empty_node_without_a_store_waits_for_it() -> None:
    with folder() as path, cluster(1, f"file://{path / 'store'}") as made:
        node = made.nodes[0]
        wait_for(node, "sync", "RUNNING")
        assert wait_for(node, "initialize", "EXITED") == "EXITED"
        assert "cannot use the store" in (node.root / "agent/log/initialize.log").read_text()
        assert node.health() is None
        (path / "store").mkdir()
        serves(node, None)


# ---- asked for


def test_an_event_wakes_a_loop_that_would_sleep_for_an_hour() -> None:
    with servers.ministack() as server:
        location = server.bucket()
        client = server.client()

        def put(greeting: str) -> None:
            text = f"greeting: {greeting}\nda agent:\n  poll interval: 3600\n  quiet period: 0\n"
            client.put_object(Bucket=location.bucket, Key="config.yml", Body=text.encode())

        put("first")
        with cluster(1, location.url, server.environment()) as made:
            made.wait()
            node = made.nodes[0]
            wait_for(node, "sync", "RUNNING")
            serves(node, "first")
            loop = process(node, "sync")
            wait_until(lambda: loop.status() == psutil.STATUS_SLEEPING, node)
            put("second")
            # An event that comes while the loop is busy is not lost, but one too many costs nothing.
            transport = SupervisorTransport("", "", f"unix://{node.socket}")
            with closing(transport):
                assert xmlrpc.client.ServerProxy("http://node", transport).supervisor.sendRemoteCommEvent("poke", "")
            serves(node, "second")


def test_supervisorctl_starts_what_admins_ask_for(node: DevNode) -> None:
    before = witness(node)["pid"]
    supervisorctl(node, "start", "reset")
    wait_for(node, "reset", "EXITED")
    wait_until(lambda: witness(node)["pid"] != before, node)

    supervisorctl(node, "stop", "sync")
    change(node, "by update")
    supervisorctl(node, "start", "update")
    wait_for(node, "update", "EXITED")
    serves(node, "by update")

    supervisorctl(node, "start", "install_certs")
    wait_for(node, "install_certs", "EXITED")
    assert "release 2 has none" in (node.root / "agent/log/install_certs.log").read_text()
    for program in ("update", "reset", "install_certs"):
        assert "exit status 0" in "".join(
            line for line in (node.root / "agent/log/supervisord.log").read_text().splitlines() if program in line
        )


def test_values_with_percent_signs_and_quotes_reach_the_first_configuration() -> None:
    password = """50%s "quoted" 'single' %(here)s $HOME"""
    with cluster(1, variables={"DBPASSWORD": password}) as made:
        made.wait()
        serves(made.nodes[0], None)
        assert "50%s" in (made.nodes[0].root / "config.yml").read_text()
        history = json.loads(agent(made, "history", "--json").stdout)["releases"]
    assert [release["number"] for release in history] == [1]
