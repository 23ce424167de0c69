"""Processes that an earlier supervisord has left make way for their successors, and no other process suffers."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from da_agent import orphans
from da_agent.adapters import predecessors
from da_agent.adapters.apache import processes
from tests.integration.apaches import Runner, Web, certificate, get, hello, presented, said, wait_until, web

WAITING = """
import os, time
def application(environ, start_response):
    while environ["PATH_INFO"] == "/slow" and not os.path.exists("GO"):
        time.sleep(0.05)
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
"""


@contextmanager
def successor(old: Web) -> Iterator[Web]:
    """The same node under another supervisord, which has started nothing yet."""
    made = Web(old.paths.root, old.node)
    try:
        yield made
    finally:
        made.runner.end()


@pytest.fixture
def old() -> Iterator[Web]:
    """A node that serves release 1, and whose supervisord is not asked any more."""
    with web() as made:
        made.stage(1, hello("one"))
        made.serve(1)
        yield made


def family(node: Web, program: str = "apache2") -> list[psutil.Process]:
    pid = node.runner.pid(program)
    assert pid is not None
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


def serves(node: Web) -> bool:
    """True when its own worker processes answer, and those alone."""
    return node.probe(1).holds and said(node.url)["pid"] in {worker.pid for worker in node.apache.workers()}


def test_both_apaches_that_were_left_make_way_for_their_successors(tmp_path: Path) -> None:
    with web() as old:
        mine = certificate(tmp_path, "one")
        old.stage(1, hello("one"), mine)
        old.serve(1)
        left = family(old) + family(old, "tls")
        with successor(old) as new:
            new.apache.start()
            assert new.apache.running()
            assert serves(new)
            assert presented(new) == mine["docassemble.crt"].decode()
            wait_until(lambda: orphans.gone(left), 30)


def test_an_apache_without_a_successor_ends_with_the_release_that_needs_none(tmp_path: Path) -> None:
    with web() as old:
        old.stage(1, hello("one"), certificate(tmp_path, "one"))
        old.stage(2, hello("two"))
        old.serve(1)
        left = family(old, "tls")
        with successor(old) as new:
            new.switch(2)
            new.apache.start()
            wait_until(lambda: orphans.gone(left), 30)


def test_a_request_that_is_being_answered_is_answered_by_the_one_that_was_left(tmp_path: Path) -> None:
    with web() as old, ThreadPoolExecutor() as pool:
        go = old.paths.root / "go"
        old.stage(1, {"hello.py": WAITING.replace("GO", str(go))})
        old.serve(1)
        left = family(old)
        slow = pool.submit(get, f"{old.url}/slow")
        wait_until(lambda: old.apache.active() > 0)
        with successor(old) as new:
            try:
                new.apache.start()
                assert new.probe(1).holds
                assert int(get(new.url)[1]) in {worker.pid for worker in new.apache.workers()}
                assert not slow.done()
            finally:
                go.touch()
            status, body, _ = slow.result(30)
            assert status == 200
            assert int(body) in {process.pid for process in left}
            wait_until(lambda: orphans.gone(left), 30)
            assert int(get(new.url)[1]) in {worker.pid for worker in new.apache.workers()}


def test_children_of_an_apache_that_was_killed_make_way(old: Web) -> None:
    left = family(old)
    left[0].kill()
    with successor(old) as new:
        new.apache.start()
        assert serves(new)
        assert orphans.gone(left)


def test_an_apache_that_hangs_is_killed_with_its_children(old: Web) -> None:
    left = family(old)
    left[0].suspend()
    with successor(old) as new:
        new.apache.start()
        assert serves(new)
        assert orphans.gone(left)


def test_a_pid_file_whose_number_has_become_another_process_stops_no_apache(old: Web) -> None:
    old.runner.end()
    with successor(old) as new, subprocess.Popen(["sleep", "1000"]) as other:
        (old.paths.run / "apache2.pid").write_text(f"{other.pid}\n")
        try:
            new.apache.start()
            assert serves(new)
            assert other.poll() is None
        finally:
            other.kill()


def test_an_apache_with_another_root_is_left_alone(old: Web) -> None:
    with web() as neighbour, successor(old) as new:
        neighbour.stage(1, hello("neighbour"))
        neighbour.serve(1)
        before = family(neighbour)
        (old.paths.run / "apache2.pid").write_text(f"{before[0].pid}\n")
        new.apache.start()
        assert serves(new)
        assert family(neighbour) == before
        assert said(neighbour.url)["version"] == "neighbour"


def test_the_apache_that_runs_now_is_no_orphan(old: Web) -> None:
    before = family(old)
    pin = old.paths.pin("apache2") / "apache2.conf"
    processes.end_orphans(pin, Path("/nowhere/pid"), lambda: False, lambda: old.runner.pid("apache2"))
    assert family(old) == before


# ---- the agent's own programs

PROGRAM = """
import signal, sys, time
if "deaf" in sys.argv: signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
time.sleep(1000)
"""


@pytest.fixture
def programs() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def start(stack: ExitStack, root: Path, *words: str, variables: dict[str, str] | None = None) -> psutil.Popen:
    """What supervisord starts for the node at `root`, as far as the kernel tells."""
    named = {"DA_AGENT_ROOT": str(root), "SUPERVISOR_PROCESS_NAME": words[-1]} if variables is None else variables
    started = psutil.Popen(
        (sys.executable, "-c", PROGRAM, *words), env={**os.environ, **named}, stdout=-1, start_new_session=True
    )
    stack.callback(started.wait)
    stack.callback(started.kill)
    assert started.stdout is not None
    stack.callback(started.stdout.close)
    assert started.stdout.readline() == b"up\n"
    return started


class Knows(Runner):
    """A supervisord that has started one program itself."""

    def __init__(self, **pids: int) -> None:
        self._pids = pids

    def pid(self, program: str) -> int | None:
        return self._pids.get(program)


def test_programs_of_an_earlier_supervisord_end_and_no_others(programs: ExitStack, tmp_path: Path) -> None:
    root = tmp_path / "1"
    ended = [start(programs, root, "sync"), start(programs, root, "deaf", "initialize")]
    mine = start(programs, root, "initialize")
    others = [
        start(programs, tmp_path / "10", "sync"),
        start(programs, root, "apache2"),
        # By hand, and a command that one of the programs has started: both inherit what supervisord told.
        start(programs, root, "sync", variables={"DA_AGENT_ROOT": str(root)}),
        start(programs, root, "update", variables={"DA_AGENT_ROOT": str(root), "SUPERVISOR_PROCESS_NAME": "sync"}),
    ]
    began = time.monotonic()
    said = predecessors.end(root, Knows(initialize=mine.pid))
    assert sorted(said) == sorted(f"process {each.pid}" for each in ended)
    assert orphans.gone(ended)
    assert time.monotonic() - began >= predecessors.PATIENCE, "the deaf one had its time"
    assert not any(orphans.gone([each]) for each in (mine, *others))


def test_a_program_whose_supervisord_has_died_restarts_no_other_process() -> None:
    told: list[int] = []
    former = signal.signal(signal.SIGHUP, lambda number, _: told.append(number))
    try:
        dead = _restart_parent("1")
        assert "has ended; start it again" in dead.stderr
        assert told == []
        assert _restart_parent("os.getppid()").returncode == 0
        assert told == [signal.SIGHUP]
    finally:
        signal.signal(signal.SIGHUP, former)


def _restart_parent(parent: str) -> subprocess.CompletedProcess[str]:
    code = f"import os; from da_agent.adapters.supervisors import restart_parent; restart_parent({parent})"
    variables = {**os.environ, "SUPERVISOR_ENABLED": "1"}
    return subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=False)
