"""`da-agent dev`, as people type it."""

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.clusters_of_witnesses import APPLICATIONS, folder

NOBODY = "nobody"


class Terminal:
    """Where a person sits: a folder with the application in it, and a cluster below it."""

    def __init__(self, path: Path, user: str | None = None) -> None:
        self.path = path
        self.root = path / "c"
        self.applications = Path(shutil.copytree(APPLICATIONS, path / "applications"))
        self.user = user

    def dev(self, *arguments: str, root: Path | None = None) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "da_agent", "dev", *arguments, "--root", str(root or self.root)],
            cwd=self.applications,
            env={**os.environ, "HOME": str(self.path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            user=self.user,
            group=None if self.user is None else pwd.getpwnam(self.user).pw_gid,
            extra_groups=None if self.user is None else [],
        )

    @contextmanager
    def running(self, *arguments: str, root: Path | None = None) -> Iterator["subprocess.Popen[str]"]:
        """A cluster that serves; ended here unless the test has done it."""
        process = self.dev("--app", "witness:application", *arguments, root=root)
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            while line := process.stdout.readline():
                if line.startswith("Ctrl-C"):
                    break
            assert line, process.stderr.read()
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=60)

    def ask(self, *arguments: str, root: Path | None = None) -> "subprocess.CompletedProcess[str]":
        process = self.dev(*arguments, root=root)
        output, errors = process.communicate(timeout=60)
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    def status(self, root: Path | None = None) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = json.loads(self.ask("status", "--json", root=root).stdout)["nodes"]
        return rows


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with folder() as path:
        yield Terminal(path)


def left(root: Path) -> list[str]:
    """The processes of the cluster's nodes."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(root / "nodes") in " ".join([process.environ().get("DA_AGENT_ROOT", ""), *process.cmdline()]):
                found.append(f"{process.pid} {process.name()}")
        except psutil.Error:
            continue
    return found


def test_two_nodes_serve_until_control_c(terminal: Terminal) -> None:
    with terminal.running("--nodes", "2") as process:
        rows = terminal.status()
        assert [(row["node"], row["running"], row["release"]) for row in rows] == [
            ("node1", True, 1),
            ("node2", True, 1),
        ]
        for row in rows:
            with urllib.request.urlopen(str(row["url"])) as answer:
                assert json.load(answer)["release"] == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    assert left(terminal.root) == []
    assert [row["running"] for row in terminal.status()] == [False, False]


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP])
def test_whoever_ends_it_ends_the_nodes(terminal: Terminal, ending: signal.Signals) -> None:
    with terminal.running("--nodes", "1") as process:
        process.send_signal(ending)
        assert process.wait(timeout=60) == 143
    assert left(terminal.root) == []


def test_it_can_be_ended_while_the_nodes_are_starting(terminal: Terminal) -> None:
    process = terminal.dev("--nodes", "2", "--app", "witness:application")
    assert process.stdout is not None
    assert "starting" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert left(terminal.root) == []


def test_stop_ends_it_from_another_terminal_and_the_next_one_has_the_same_ports_and_releases(
    terminal: Terminal,
) -> None:
    with terminal.running("--nodes", "1") as process:
        before = terminal.status()
        stopped = terminal.ask("stop")
        assert (stopped.returncode, "is stopped" in stopped.stdout) == (0, True)
        assert process.wait(timeout=60) == 0
    assert left(terminal.root) == []
    with terminal.running("--nodes", "1"):
        assert terminal.status() == before


def test_a_dev_that_is_killed_leaves_nodes_that_can_be_stopped(terminal: Terminal) -> None:
    with terminal.running("--nodes", "1") as process:
        process.kill()
        process.wait()
        assert [row["running"] for row in terminal.status()] == [True]
        again = terminal.ask("--nodes", "1")
        assert again.returncode == 3
        assert f"is running already: da-agent dev stop --root {terminal.root}" in again.stderr
        assert terminal.ask("stop").returncode == 0
    assert left(terminal.root) == []


def test_two_clusters_do_not_know_of_each_other(terminal: Terminal) -> None:
    other = terminal.path / "d"
    with terminal.running("--nodes", "1"), terminal.running("--nodes", "1", root=other):
        assert terminal.status()[0]["url"] != terminal.status(other)[0]["url"]
        terminal.ask("stop", root=other)
        assert [row["running"] for row in terminal.status()] == [True]
        assert left(other) == []


def test_it_needs_no_privileges() -> None:
    with folder() as path:
        # Whoever runs this without root has none to give up.
        other = NOBODY if os.geteuid() == 0 else None
        account = pwd.getpwuid(os.geteuid()) if other is None else pwd.getpwnam(other)
        os.chown(path, account.pw_uid, account.pw_gid)
        terminal = Terminal(path, other)
        with terminal.running("--nodes", "2") as process:
            assert [row["release"] for row in terminal.status()] == [1, 1]
            owners = {psutil.Process(int(pid.split()[0])).username() for pid in left(terminal.root)}
            assert owners == {account.pw_name}
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 0
        assert left(terminal.root) == []


def refusal(asked: "subprocess.CompletedProcess[str]") -> str:
    assert asked.returncode != 0
    assert "Traceback" not in asked.stderr
    assert asked.stderr.count("\n") == 1
    return asked.stderr


def test_what_is_of_no_use_is_refused_in_one_sentence_and_leaves_nothing(terminal: Terminal) -> None:
    spaced = terminal.path / "with space"
    assert "without spaces" in refusal(terminal.ask("--nodes", "1", root=spaced))
    assert not spaced.exists()
    deep = terminal.path / ("d" * 100)
    assert "choose a shorter --root" in refusal(terminal.ask("--nodes", "1", root=deep))
    assert not deep.exists()
    assert "there is no cluster below" in refusal(terminal.ask("status"))
    assert "there is no cluster below" in refusal(terminal.ask("stop"))
    assert "MODULE:CALLABLE" in refusal(terminal.ask("--app", "nonsense"))
    assert "must begin with file:/// or s3://" in refusal(terminal.ask("--store", "ftp://nowhere"))


def test_a_damaged_record_is_named(terminal: Terminal) -> None:
    terminal.root.mkdir()
    (terminal.root / "cluster.json").write_text('{"store": 3')
    for command in (("status",), ("stop",), ("--nodes", "1")):
        assert "cluster.json is damaged" in refusal(terminal.ask(*command))


def test_a_port_that_somebody_took_meanwhile_is_named(terminal: Terminal) -> None:
    with terminal.running("--nodes", "1"):
        port = str(terminal.status()[0]["url"]).rpartition(":")[2]
        terminal.ask("stop")
    with subprocess.Popen(
        [sys.executable, "-c", _TAKE, port], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as thief:
        try:
            assert thief.stdout is not None
            assert thief.stdout.readline() == "taken\n"
            process = terminal.dev("--nodes", "1", "--app", "witness:application")
            log = terminal.root / "nodes" / "1" / "agent" / "log" / "sync.log"
            ends = time.monotonic() + 60
            while "Address already in use" not in (log.read_text() if log.exists() else ""):
                assert time.monotonic() < ends
                time.sleep(0.2)
        finally:
            thief.kill()
    assert process.stdout is not None
    while line := process.stdout.readline():
        if "serves" in line:
            break
    assert line, "the node serves as soon as the port is free"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert left(terminal.root) == []


_TAKE = """
import socket, sys
taken = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("taken", flush=True)
sys.stdin.read()
"""
