"""A node that is told to stop, behind a real haproxy: it leaves in order, and comes back."""

import configparser
import json
import shlex
import signal
from collections.abc import Callable, Iterator
from importlib import resources
from typing import Any

import psutil
import pytest

from da_agent.adapters.dev_clusters import DevCluster, DevNode
from tests.clusters_of_witnesses import agent, cluster
from tests.haproxies import HEALTH, HAProxy, haproxy
from tests.load import Load
from tests.supervisorctl import supervisorctl, wait_for

pytestmark = pytest.mark.xdist_group("nodes that leave")

SETTINGS = {"poll interval": 1, "quiet period": 0, "drain": 20, "min healthy": 0, "start timeout": 60}


@pytest.fixture(scope="module")
def built() -> Iterator[tuple[DevCluster, HAProxy]]:
    with (
        cluster(2, settings=SETTINGS) as made,
        haproxy({node.name: node.seat.http_port for node in made.nodes}) as proxy,
    ):
        made.wait()
        yield made, proxy


@pytest.fixture
def whole(built: tuple[DevCluster, HAProxy]) -> tuple[DevCluster, HAProxy]:
    """Both nodes serve, are followed by their loops, and are visited."""
    made, proxy = built
    made.start()
    made.wait()
    for node in made.nodes:
        wait_for(node, "sync", "RUNNING")
    proxy.all_up()
    return built


def by_signal(node: DevNode) -> None:
    node.begin_to_stop()


def by_supervisorctl(node: DevNode) -> None:
    supervisorctl(node, "shutdown")


def without_a_loop(node: DevNode) -> None:
    supervisorctl(node, "stop", "sync")
    node.begin_to_stop()


def status(made: DevCluster) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(agent(made, "status", "--json").stdout)["cluster"]
    return found


def phases(made: DevCluster) -> dict[str, str]:
    return {each["node"]: each["phase"] for each in status(made)["nodes"]}


@pytest.mark.parametrize(
    ("end", "printed"), [(signal.SIGTERM, "<agent's own><leave>"), (signal.SIGQUIT, ""), (None, "")]
)
def test_the_shell_that_waits_runs_the_command_when_it_is_told_to_end_and_ends_with_supervisord(
    end: signal.Signals | None, printed: str
) -> None:
    """With `end` None the pipe to supervisord is closed, as when that has died."""
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";",))
    parser.read_string((resources.files("da_agent") / "supervisord.conf").read_text())
    command = parser["program:leave"]["command"].replace("%(ENV_DA_AGENT_COMMAND)s", 'printf <%s> "agent\'s own"')
    with psutil.Popen(shlex.split(command), stdin=-1, stdout=-1, text=True) as shell:
        while not shell.children():
            assert shell.is_running()
        if end is None:
            shell.stdin.close()
        else:
            shell.send_signal(end)
        assert (shell.stdout.read(), shell.wait(30)) == (printed, 0)


@pytest.mark.parametrize("stop", [by_signal, by_supervisorctl, without_a_loop])
def test_a_node_that_is_told_to_stop_loses_no_request_signs_off_and_comes_back(
    whole: tuple[DevCluster, HAProxy], stop: Callable[[DevNode], None]
) -> None:
    made, proxy = whole
    node = made.nodes[1]
    before, lost = proxy.states()[node.name], len(proxy.complaints())
    with Load(proxy.url, clients=4, pause=0.05) as load:
        load.wait_for(lambda reply: not reply.failed, count=20)
        stop(node)
        node.join()
        load.wait_for(lambda reply: not reply.failed, count=20)
    assert load.failures == []
    assert proxy.complaints()[lost:] == []
    after = proxy.states()[node.name]
    assert (after.failed_answers, after.reconnections) == (before.failed_answers, before.reconnections)
    assert status(made)["live"] == ["node1"]
    assert phases(made)["node2"] == "left"
    assert "left, " in agent(made, "status").stdout
    node.start()
    made.wait()
    proxy.all_up()
    assert phases(made)["node2"] != "left"


@pytest.mark.parametrize("program", ["sync", "leave"])
def test_a_program_that_is_stopped_alone_leaves_the_node_in_service(
    whole: tuple[DevCluster, HAProxy], program: str
) -> None:
    made, _ = whole
    node = made.nodes[0]
    with Load(node.http_url + HEALTH, clients=2) as load:
        supervisorctl(node, "stop", program)
        wait_for(node, program, "STOPPED")
        supervisorctl(node, "start", program)
        wait_for(node, program, "RUNNING")
        load.wait_for(lambda reply: not reply.failed, count=20)
    assert [reply.status for reply in load.failures] == []
    assert phases(made)[node.name] == "serving"


def test_forget_refuses_a_live_node_and_removes_one_that_has_left(whole: tuple[DevCluster, HAProxy]) -> None:
    made, _ = whole
    alive = agent(made, "forget", "node1")
    assert alive.returncode == 3
    assert "cannot forget node node1: it is alive" in alive.stderr
    unknown = agent(made, "forget", "node9")
    assert unknown.returncode == 8
    assert "the nodes are node1, node2" in unknown.stderr
    node = made.nodes[1]
    with Load(node.http_url, clients=1) as visitor, Load(node.http_url + HEALTH, clients=1) as balancer:
        node.begin_to_stop()
        # It says that no visitor should come, and answers those who come all the same.
        balancer.wait_for(lambda reply: reply.status == 503)
        visitor.wait_for(lambda reply: reply.status == 200, count=20)
        node.join()
    assert node.stop() == []
    assert phases(made) == {"node1": "serving", "node2": "left"}
    assert agent(made, "forget", "node2").returncode == 0
    assert phases(made) == {"node1": "serving"}
    assert agent(made, "forget", "node2").returncode == 8
