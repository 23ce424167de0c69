"""From release to release on a real Apache, and what it costs those who are being served: nothing."""

import http.client
import json
import os
import signal
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from da_agent.adapters.apache import processes
from da_agent.adapters.apache.pins import Pins
from da_agent.adapters.apache.servers import Apache
from da_agent.adapters.packaging import UvEnvironments
from da_agent.adapters.release_folders import ReleaseFolders
from da_agent.domain.application.groups import Group
from da_agent.domain.config.settings import Settings
from da_agent.domain.node.paths import Paths
from da_agent.errors import NodeBroken, ReleaseBroken
from tests.fakes import MemoryBlobs
from tests.integration.apaches import HEALTH, Web, certificate, get, presented, said, served, wait_until, web
from tests.load import Load, Reply

CONFIG = "shop: {name: one}\n"
SLOW = """
import json, os, time
RELEASE = os.environ["DA_AGENT_RELEASE"]
time.sleep(float("SECONDS"))
LOADED = time.monotonic()
def application(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(4)
    names = "REMOTE_ADDR", "wsgi.url_scheme", "SERVER_PORT", "HTTP_HOST"
    said = {"pid": os.getpid(), "version": "VERSION", "loaded": LOADED}
    said["environ"] = {name: environ.get(name) for name in names}
    said["mixed"] = os.environ["DA_AGENT_RELEASE"] != RELEASE
    said["private"] = sorted(name for name in environ if "DA_AGENT" in name)
    start_response("200 OK", [("Content-Type", "application/json")])
    yield json.dumps(said).encode()
"""
PATIENCE = timedelta(seconds=60)


def slow(version: str, seconds: float = 0) -> dict[str, str]:
    """An application whose import takes `seconds`, with a page that takes four."""
    return {"hello.py": SLOW.replace("VERSION", version).replace("SECONDS", str(seconds))}


@pytest.fixture
def node() -> Iterator[Web]:
    with web() as made:
        yield made


@contextmanager
def two_releases(seconds: float = 0, certificates: Mapping[str, bytes] | None = None) -> Iterator[Web]:
    """One that is served, and one that is staged."""
    with web() as node:
        node.stage(1, slow("one"), certificates)
        node.stage(2, slow("two", seconds), certificates)
        node.serve(1)
        yield node


def pids(node: Web) -> set[int]:
    return {worker.pid for worker in node.apache.workers()}


def idle(node: Web) -> list[int]:
    """The worker processes of the idle group."""
    return sorted({worker.pid for worker in processes.workers(apache(node).pid)} - pids(node))


def apache(node: Web) -> psutil.Process:
    pid = node.runner.pid("apache2")
    assert pid is not None
    return psutil.Process(pid)


def is_light(node: Web) -> bool:
    """Whether every process of the idle group has nothing in memory."""
    reply = node.apache.get(HEALTH, warming=True, patience=timedelta(seconds=10))
    return reply is not None and len(idle(node)) == 2 and json.loads(reply.start)["release"] is None


def begun_after(moment: float) -> Callable[[Reply], bool]:
    return lambda reply: reply.begun > moment


class Other:
    """The agent at work in another thread; `error` is how it ended."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.error: Exception | None = None
        self._work = work
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._work()
        except Exception as error:
            self.error = error

    def join(self) -> None:
        self._thread.join(90)
        assert not self._thread.is_alive()


# ---- another application


def test_reloads_under_load_lose_no_request_and_mix_no_process(node: Web) -> None:
    node.stage(1, slow("1"))
    node.stage(2, slow("2", seconds=3))
    node.serve(1)
    with Load(node.url) as load, Load(node.url + "/slow", clients=3) as patient:
        patient.wait_for(served("1"))
        for number in (2, 1):
            node.serve(number)
            returned = time.monotonic()
            load.wait_for(begun_after(returned), count=20)
            # A request that was on its way to the other group meanwhile may be answered by a process that starts there.
            later = [reply for reply in load.replies if begun_after(returned)(reply)]
            assert all(served(str(number))(reply) for reply in later)
            # No request waits for an import: each process had loaded the release before it took over.
            assert all(json.loads(reply.body)["loaded"] < returned for reply in later)
        patient.wait_for(served("1"))
    told = [json.loads(reply.body) for reply in (*load.replies, *patient.replies)]
    assert (load.failures, patient.failures) == ([], [])
    assert not [each for each in told if each["mixed"] or each["private"]]
    by_process: dict[int, set[str]] = {}
    for each in told:
        by_process.setdefault(each["pid"], set()).add(each["version"])
    assert all(len(versions) == 1 for versions in by_process.values())
    assert min(reply.seconds for reply in patient.replies) > 4


@pytest.mark.parametrize("late", [False, True])
def test_the_processes_of_a_group_load_one_after_the_other(late: bool) -> None:
    """The requests need the processors more; also when the processes start only after their group has its pin."""
    said = "import sys, time\nprint('import begins', file=sys.stderr, flush=True)\n"
    with two_releases() as node:
        text = f"{said}time.sleep(1)\nprint('import ends', file=sys.stderr, flush=True)\n{slow('three')['hello.py']}"
        node.stage(3, {"hello.py": text})
        wait_until(lambda: is_light(node))
        if late:
            Pins(node.paths).put(Group.GREEN, node.paths.release(3))
            for pid in idle(node):
                os.kill(pid, signal.SIGKILL)
        node.serve(3)
        seen = [line.rsplit(" ", 1)[1] for line in node.runner.log.splitlines() if "import " in line]
        assert seen == ["begins", "ends"] * 2


def test_a_release_that_cannot_be_loaded_disturbs_nobody() -> None:
    with two_releases() as node:
        node.stage(3, {"hello.py": "import time\ntime.sleep(1)\nimport what_nobody_has\n"})
        before = node.apache.workers()
        with Load(node.url) as load:
            node.switch(3)
            with pytest.raises(ReleaseBroken, match=r"cannot serve release 3: .* No module named 'what_nobody_has'"):
                node.apache.serve(3, PATIENCE)
            load.wait_for(served("one"), count=20)
        assert load.failures == []
        assert {served("one")(reply) for reply in load.replies} == {True}
        assert node.apache.workers() == before
        wait_until(lambda: is_light(node))
        node.serve(2)
        assert said(node.url)["version"] == "two"


def test_before_the_flip_a_page_of_the_new_release_can_be_had_by_the_agent_alone() -> None:
    seen: list[object] = []
    with two_releases() as node:

        def look() -> None:
            reply = node.apache.get("/page", warming=True, patience=timedelta(seconds=10))
            assert reply is not None
            seen.extend((reply.status, json.loads(reply.start)["version"], said(node.url)["version"]))
            spoofed = urllib.request.Request(node.url, headers={"X-DA-Agent-Group": "0 green"})
            with urllib.request.urlopen(spoofed, timeout=20) as answer:
                seen.append(json.load(answer)["version"])

        node.switch(2)
        node.apache.serve(2, PATIENCE, approve=look)
        assert seen == [200, "two", "one", "one"]
        assert said(node.url)["version"] == "two"


def test_what_was_not_approved_is_served_to_nobody() -> None:
    def refuse() -> None:
        raise ReleaseBroken("its page is empty")

    with two_releases() as node:
        with pytest.raises(ReleaseBroken, match="its page is empty"):
            node.apache.serve(2, PATIENCE, approve=refuse)
        assert said(node.url)["version"] == "one"
        wait_until(lambda: is_light(node))


def test_a_request_that_reaches_the_idle_group_is_answered_from_what_the_switch_says() -> None:
    with two_releases() as node:
        reply = node.apache.get("/", warming=True, patience=timedelta(seconds=10))
        assert reply is not None
        assert (reply.status, json.loads(reply.start)["version"]) == (200, "one")
        node.serve(2)
        assert said(node.url)["version"] == "two"


def test_the_group_that_was_relieved_becomes_light_when_its_last_request_is_done() -> None:
    with two_releases() as node, Load(node.url + "/slow", clients=1) as patient:
        wait_until(lambda: any(answer.active for answer in node.apache.ask(2)))
        node.serve(2)
        assert patient.failures == []
        wait_until(lambda: is_light(node))


# ---- less than that


def test_settings_of_our_own_touch_no_process(node: Web) -> None:
    node.stage(1, slow("one"), config=CONFIG)
    node.stage(2, slow("one"), config=f"# quicker\n{CONFIG}da agent: {{poll interval: 5}}\n")
    node.serve(1)
    before, workers = apache(node).children(recursive=True), node.apache.workers()
    node.serve(2)
    assert [child.pid for child in apache(node).children(recursive=True)] == [child.pid for child in before]
    health = node.health()
    assert (health["release"], health["loaded"]) == (2, 1)
    # Whatever starts from now on comes from the newer one.
    for pid in pids(node):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not node.apache.workers() & workers)
    assert node.probe(2).holds
    assert node.health()["loaded"] == 2


def test_certificates_alone_disturb_no_worker_and_lose_no_request(node: Web, tmp_path: Path) -> None:
    one, two = certificate(tmp_path, "one"), certificate(tmp_path, "two")
    node.stage(1, slow("one"), one, config=CONFIG)
    node.stage(2, slow("one"), two, config=CONFIG)
    node.serve(1)
    assert presented(node) == one["docassemble.crt"].decode()
    before = node.apache.workers()
    with Load(node.tls_url) as load, Load(node.tls_url + "/slow", clients=2) as patient, Load(node.url) as plain:
        wait_until(lambda: any(answer.active for answer in node.apache.ask(2)))
        node.serve(2)
        assert presented(node) == two["docassemble.crt"].decode()
        load.wait_for(served("one"), count=20)
        patient.wait_for(served("one"), count=2)
    assert (load.failures, patient.failures, plain.failures) == ([], [], [])
    assert node.apache.workers() == before


def test_the_certificates_can_be_read_again_without_another_release(node: Web, tmp_path: Path) -> None:
    one, two = certificate(tmp_path, "one"), certificate(tmp_path, "two")
    node.stage(1, slow("one"), one)
    node.serve(1)
    presented(node)
    for name, data in two.items():
        path = node.paths.release(1) / "certs" / name
        path.chmod(0o600)
        path.write_bytes(data)
    node.apache.read_certificates([])
    assert presented(node) == two["docassemble.crt"].decode()


def test_other_processes_and_threads_are_taken_by_a_graceful_restart(node: Web) -> None:
    node.stage(1, slow("one"), config=CONFIG)
    node.stage(2, slow("one"), config=CONFIG, settings=Settings(processes=3, threads=2))
    node.serve(1)
    before = node.apache.workers()
    parent = apache(node).pid
    with Load(node.url) as load:
        node.serve(2)
        load.wait_for(served("one"), count=20)
    assert len(node.apache.workers()) == 3
    assert not node.apache.workers() & before
    assert apache(node).pid == parent
    assert not [reply for reply in load.failures if reply.status is not None and reply.status < 500]


def test_everything_at_once_is_served(node: Web, tmp_path: Path) -> None:
    node.stage(1, slow("one"), certificate(tmp_path, "one"))
    two = certificate(tmp_path, "two")
    node.stage(2, slow("two"), two, settings=Settings(processes=3))
    node.serve(1)
    node.serve(2)
    assert len(node.apache.workers()) == 3
    assert said(node.url)["version"] == "two"
    assert presented(node) == two["docassemble.crt"].decode()


def test_a_release_that_an_older_agent_has_staged_is_served_and_left_again(node: Web) -> None:
    """It has no fingerprint: numbers count, and it is different from every other."""
    for number in (1, 2, 3):
        node.stage(number, slow(str(number)), config=CONFIG)
    facts = node.paths.release(2) / "webapp.json"
    told = json.loads(facts.read_text())
    facts.write_text(json.dumps({name: value for name, value in told.items() if name not in ("serves", "processes")}))
    for number in (1, 2, 3):
        node.serve(number)
        assert said(node.url)["version"] == str(number)


# ---- killed, ended, restarted


def test_workers_that_are_killed_while_the_other_group_loads_come_back_on_the_live_release() -> None:
    with two_releases(seconds=3) as node:
        node.switch(2)
        agent = Other(lambda: node.apache.serve(2, PATIENCE))
        wait_until(lambda: node.paths.pin("green").exists())
        for pid in (*pids(node), *idle(node)):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: served("one")(Reply(*get(node.url)[:2], at=0, seconds=0)), 30)
        agent.join()
        assert agent.error is None
        assert node.probe(2).holds
        assert said(node.url)["version"] == "two"


def test_an_apache_that_is_killed_in_a_probation_comes_back_on_the_live_release() -> None:
    with two_releases(seconds=3) as node:
        node.switch(2)
        agent = Other(lambda: node.apache.serve(2, PATIENCE))
        wait_until(lambda: node.paths.pin("green").exists())
        _restart_as_supervisor_does(node)
        agent.join()
        assert agent.error is None or isinstance(agent.error, NodeBroken)
        if agent.error is not None:
            assert node.probe(1).holds
            node.apache.serve(2, PATIENCE)
        assert node.probe(2).holds


@pytest.mark.parametrize("release", [1, 2])
def test_an_apache_that_is_killed_at_rest_comes_back_on_what_it_served(release: int) -> None:
    with two_releases() as node:
        node.serve(release)
        node.switch(3 - release)
        _restart_as_supervisor_does(node)
        assert node.probe(release).holds


def test_an_apache_that_the_agent_starts_serves_what_the_switch_says() -> None:
    with two_releases() as node:
        node.serve(2)
        node.runner.stop("apache2")
        node.switch(1)
        node.apache.start()
        assert node.probe(1).holds
        wait_until(lambda: is_light(node))


def _restart_as_supervisor_does(node: Web) -> None:
    parent = apache(node)
    children = parent.children(recursive=True)
    for process in (parent, *children):
        process.kill()
    psutil.wait_procs([parent, *children], timeout=20)
    wait_until(lambda: node.runner.pid("apache2") is None)
    node.runner.start("apache2")


class _Killed(BaseException):
    pass


EFFECTS = ("put", "drop", "flip", "make_due", "make_done")


def test_an_agent_that_is_killed_between_any_two_steps_leaves_a_node_that_serves_and_the_next_one_goes_on(
    node: Web, tmp_path: Path
) -> None:
    """Forth and back: killed before each step in turn, then the next agent takes the release or takes it back."""
    one, two = certificate(tmp_path, "one"), certificate(tmp_path, "two")
    node.stage(1, slow("one"), one)
    node.stage(2, slow("two"), two, settings=Settings(threads=4))
    node.serve(1)
    step, done = 0, False
    while not done:
        node.switch(2)
        try:
            _killed_before(node, step).serve(2, PATIENCE)
            done = True
        except _Killed:
            pass
        assert said(node.url)["version"] in ("one", "two")
        if step % 3 == 0:
            node.serve(2)
            assert presented(node) == two["docassemble.crt"].decode()
        node.serve(1)
        assert said(node.url)["version"] == "one"
        assert presented(node) == one["docassemble.crt"].decode()
        step += 1
    wait_until(lambda: is_light(node))
    assert step > 8


def _killed_before(node: Web, step: int) -> Apache:
    """An agent of its own, which dies before the effect with this number."""
    agent = Apache(node.node, Paths(node.paths.root), node.runner)
    left = [step]

    def dying(effect: Callable[..., object]) -> Callable[..., object]:
        def done(*arguments: object) -> object:
            if left[0] == 0:
                raise _Killed
            left[0] -= 1
            return effect(*arguments)

        return done

    for name in EFFECTS:
        setattr(agent._pins, name, dying(getattr(agent._pins, name)))
    return agent


def test_a_release_that_something_is_pinned_to_is_not_removed_although_no_process_uses_it(node: Web) -> None:
    for number in (1, 2, 3):
        node.stage(number, slow(str(number)))
    node.serve(1)
    node.runner.stop("apache2")
    node.switch(2)
    wheels = UvEnvironments(node.node.python, MemoryBlobs(), node.paths)
    folders = ReleaseFolders(
        node.paths,
        MemoryBlobs(),
        build=wheels.build,
        render=node.apache.render,
        require_room=lambda *_: None,
        group=None,
    )
    folders.sweep(frozenset())
    assert sorted(path.name for path in node.paths.releases.iterdir()) == ["0000000001", "0000000002"]


# ---- through TLS


def test_the_client_and_the_scheme_come_through_tls_and_nobody_else_can_claim_them(node: Web, tmp_path: Path) -> None:
    node.stage(1, slow("one"), certificate(tmp_path, "one"))
    node.serve(1)
    presented(node)
    secret = {"X-DA-Agent-Client": "0123 6.6.6.6 1 443", "X-DA-Agent-Group": "0123 green"}
    told = _get_over_tls(node, {**secret, "Host": "shop.example:9443"})
    wanted = {"REMOTE_ADDR": "127.0.0.1", "wsgi.url_scheme": "https", "HTTP_HOST": "shop.example:9443"}
    assert told["environ"] == {**wanted, "SERVER_PORT": "9443"}
    assert told["private"] == []
    with urllib.request.urlopen(urllib.request.Request(node.url, headers=secret), timeout=20) as reply:
        plain = json.load(reply)
    assert (plain["environ"]["REMOTE_ADDR"], plain["environ"]["wsgi.url_scheme"]) == ("127.0.0.1", "http")
    assert plain["private"] == []


def test_a_request_over_tls_is_logged_once_with_its_client_and_its_release(node: Web, tmp_path: Path) -> None:
    node.stage(7, slow("one"), certificate(tmp_path, "one"))
    node.serve(7)
    presented(node)
    pid = _get_over_tls(node, {}, "/logged")["pid"]
    wait_until(lambda: "/logged" in node.requests(tls=True))
    lines = [line for line in node.requests(tls=True).splitlines() if "/logged" in line]
    assert len(lines) == 1
    assert " client=127.0.0.1 status=200 " in lines[0]
    assert f" release=7 pid={pid} request=" in lines[0]
    get(node.url + "/afterwards")
    wait_until(lambda: "/afterwards" in node.requests())
    assert "/logged" not in node.requests()


def _get_over_tls(node: Web, headers: Mapping[str, str], path: str = "/") -> dict[str, object]:
    connection = http.client.HTTPSConnection(
        "127.0.0.1", node.node.https_port, context=ssl._create_unverified_context(), timeout=20
    )
    try:
        connection.request("GET", path, headers=dict(headers))
        found: dict[str, object] = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return found
