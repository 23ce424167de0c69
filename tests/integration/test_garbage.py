"""What `gc` removes from the disk of a real node and from a real bucket, and what it leaves."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from da_agent.adapters.clocks import SystemClock
from da_agent.adapters.directory_store import DirectoryStore
from da_agent.adapters.s3_store import S3Store
from da_agent.cli.garbage import gc
from da_agent.domain.node.node_states import NodeState
from da_agent.domain.store import keys
from da_agent.domain.store.blobs import blob_of
from da_agent.domain.store.locations import S3Location
from da_agent.errors import NotFound, Unreachable
from da_agent.ports import Always, Stored
from da_agent.wiring import NodeAgent
from da_agent.workflows.publish import pushes
from tests import built, packages, servers
from tests.fake_nodes import release

DAYS = 3 * 24 * 3600


def node(desk: Path) -> NodeAgent:
    (desk / "store" / "packages").mkdir(parents=True)
    variables = {"DA_AGENT_STORE": f"file://{desk}/store", "DA_AGENT_ROOT": f"{desk}/root", "DA_AGENT_NODE": "n"}
    machine = NodeAgent({**os.environ, **variables})
    machine.prepare()
    machine.web.prepare()
    return machine


def staged(machine: NodeAgent, desk: Path, text: str) -> int:
    (desk / "store" / "config.yml").write_text(f"da agent:\n  quiet period: 0\nname: {text}\n")
    verdict = machine.publisher.publish("a test")
    assert verdict.release is not None, verdict.mistakes
    release = machine.ledger.read(verdict.release)
    machine.transfers.fetch(release.contents.blobs())
    machine.installation.stage(release, machine.settings(release))
    return release.number


def grow_old(*folders: Path) -> None:
    then = time.time() - DAYS
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            if not path.is_symlink():
                os.utime(path, (then, then))


HOLDS = {
    "an open file": ("held = open(sys.argv[1])", "config.yml"),
    "a folder it stands in": ("import os; os.chdir(sys.argv[1])", "certs"),
    "an extension module": ("import ctypes; ctypes.CDLL(sys.argv[1])", "extension.so"),
}


@contextmanager
def using(path: Path, how: str = HOLDS["an open file"][0]) -> Iterator[None]:
    """A process that uses the file, as the loader has one of its release open. The kernel alone knows of it then."""
    code = f"import sys, os; {how}; print('held', flush=True); sys.stdin.read()"
    # What it was started with is no use: the path comes on its standard input, which is read to the end of the line.
    code = f"import sys; sys.argv[1:] = [sys.stdin.readline().strip()]; {code}"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/"
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{path}\n")
        process.stdin.flush()
        assert process.stdout.readline() == "held\n"
        yield
        process.stdin.close()


@pytest.fixture
def aged(desk: Path) -> NodeAgent:
    """A node with the live release 4, two others to go back to, and the first, which nobody needs."""
    machine = node(desk)
    for number in range(1, 5):
        staged(machine, desk, f"number {number}")
    machine.installation.switch(4)
    machine.node_states.save(NodeState(live=4))
    shutil.copyfile(psutil._psutil_linux.__file__, machine.paths.release(1) / "extension.so")
    grow_old(machine.paths.blobs, *map(machine.paths.release, range(1, 5)))
    return machine


@pytest.mark.parametrize("how", HOLDS)
def test_a_release_that_a_process_uses_in_any_way_stays(aged: NodeAgent, how: str) -> None:
    code, name = HOLDS[how]
    with using(aged.paths.release(1) / name, code):
        assert aged.clear(dry_run=True).releases == ()
        aged.installation.sweep(frozenset({2, 3, 4}))
        assert aged.installation.staged() == {1, 2, 3, 4}
    assert aged.clear(dry_run=False).releases == (1,)


def test_a_release_whose_program_runs_or_was_started_with_its_path_stays(aged: NodeAgent) -> None:
    folder = aged.paths.release(1)
    program = folder / "sleep"
    program.write_bytes(Path("/bin/sleep").read_bytes())
    program.chmod(0o755)
    grow_old(folder)
    with subprocess.Popen(["sleep", "600"], executable=program, cwd="/") as running:
        try:
            assert aged.clear(dry_run=True).releases == ()
        finally:
            running.kill()
    with subprocess.Popen([sys.executable, "-c", "input()", f"--home={folder}"], stdin=subprocess.PIPE) as running:
        assert aged.clear(dry_run=True).releases == ()
        assert running.stdin is not None
        running.stdin.close()
    assert aged.clear(dry_run=True).releases == (1,)


def test_a_process_that_cannot_be_looked_at_is_taken_to_use_what_was_staged_last_before_it(
    aged: NodeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container, whose root may not see what another user has open."""

    def deny(process: psutil.Process) -> object:
        if process.pid == running.pid:
            raise psutil.AccessDenied(process.pid)
        return allowed(process)

    with subprocess.Popen(["/bin/sleep", "600"]) as running:
        try:
            allowed = psutil.Process.open_files
            monkeypatch.setattr(psutil.Process, "open_files", deny)
            later = time.time() + 60
            for number in range(2, 5):
                os.utime(aged.paths.release(number) / "release.json", (later, later))
            assert aged.clear(dry_run=True).releases == ()
            grow_old(aged.paths.release(2))
            assert aged.clear(dry_run=True).releases == (1,)
        finally:
            running.kill()


def test_releases_and_wheels_that_nobody_needs_leave_the_disk_but_not_those_a_process_uses(desk: Path) -> None:
    machine = node(desk)
    inbox = desk / "store" / "packages"
    old = packages.wheel(inbox, "gift", "1.0", {"gift.py": "VERSION = '1.0'\n"})
    assert staged(machine, desk, "first") == 1
    gift = machine.ledger.read(1).contents.wheels[0]
    old.unlink()
    packages.wheel(inbox, "gift", "2.0", {"gift.py": "VERSION = '2.0'\n"})
    for number in range(2, 6):
        assert staged(machine, desk, f"number {number}") == number
    machine.installation.switch(5)
    machine.node_states.save(NodeState(live=5))
    assert machine.clear(dry_run=False).releases == (), "all of it is young"
    grow_old(machine.paths.blobs, *map(machine.paths.release, range(1, 6)))

    with using(machine.paths.release(1) / "config.yml"):
        assert machine.clear(dry_run=True).releases == (2,)
        assert machine.installation.staged() == {1, 2, 3, 4, 5}
        assert machine.clear(dry_run=False).releases == (2,)
        assert machine.installation.staged() == {1, 3, 4, 5}
        assert machine.blobs.has(gift.blob)
        assert unpacked(machine, "1.0") != []

    assert machine.clear(dry_run=False).releases == (1,)
    assert machine.installation.staged() == {3, 4, 5}
    assert not machine.blobs.has(gift.blob)
    assert unpacked(machine, "1.0") == []
    assert machine.clear(dry_run=False).blobs == ()
    (module,) = machine.paths.release(5).rglob("gift.py")
    assert module.read_text() == "VERSION = '2.0'\n"
    assert staged(machine, desk, "another") == 6


def unpacked(machine: NodeAgent, version: str) -> list[Path]:
    """What uv's cache has of that version."""
    found = machine.paths.wheel_cache.rglob("gift.py")
    return [path for path in found if version in path.read_text()]


class ThreeDaysLater(S3Store):
    """Everything in it is three days old, but for the lock."""

    def clock(self) -> datetime:
        return super().clock() + timedelta(days=3)

    def read(self, key: str) -> Stored:
        found = super().read(key)
        return replace(found, modified_at=found.modified_at + timedelta(days=3)) if key == keys.GC_LOCK else found


class Announced(SystemClock):
    """Tells that somebody waits."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = threading.Event()

    def wait(self, period: timedelta) -> bool:
        self.waits.set()
        return super().wait(period)


def admin(location: S3Location, credentials: tuple[str, str], desk: Path) -> tuple[NodeAgent, Announced]:
    machine = NodeAgent({"DA_AGENT_STORE": location.url, "DA_AGENT_ROOT": f"{desk}/root", "XDG_CACHE_HOME": str(desk)})
    clock = Announced()
    vars(machine).update(store=ThreeDaysLater(location, credentials), clock=clock)
    return machine, clock


def test_no_release_in_a_bucket_lacks_a_blob_when_others_begin_in_the_middle(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with servers.ministack(desk) as server, ThreadPoolExecutor() as pool:
        location = server.bucket("clusters/one")
        store = S3Store(location, server.credentials)
        for number in range(1, 14):
            body, made = f"number: {number}\n".encode(), release(number)
            store.write(keys.blob_key(blob_of(body)), body, Always())
            built.ledger(store).append(replace(made, contents=replace(made.contents, config=blob_of(body))))
        store.write(keys.CONFIG, body, Always())
        collector, _ = admin(location, server.credentials, desk)
        others = [admin(location, server.credentials, desk) for _ in range(3)]
        acts = [
            lambda: others[0][0].pushes.push(lambda _: pushes.config(b"number: 2\n"), "a test").release,
            lambda: others[1][0].steering.rollback(6).release,
            lambda: others[2][0].collect(dry_run=False, tell=lambda _: None).releases,
        ]
        begun: list[Future[object]] = []
        delete = collector.store.delete

        def in_the_middle(key: str) -> None:
            if key.startswith(keys.BLOBS) and not begun:
                begun.extend(pool.submit(act) for act in acts)
                assert all(clock.waits.wait(20) for _, clock in others)
            delete(key)

        monkeypatch.setattr(collector.store, "delete", in_the_middle)
        told: list[object] = []
        assert collector.collect(dry_run=False, tell=told.append).releases == (1, 2, 3)
        assert {each.result(60) for each in begun[:2]} == {14, 15}
        begun[2].result(60)
        for number in built.ledger(store).numbers():
            assert built.ledger(store).read(number).contents.config == blob_of(
                store.read(keys.blob_key(built.ledger(store).read(number).contents.config)).data
            )
        with pytest.raises(NotFound):
            store.read(keys.blob_key(blob_of(b"number: 1\n")))


@pytest.mark.parametrize("fails_after", [0, 5, None])
def test_what_has_gone_is_printed_for_machines_too_when_the_rest_of_it_fails(
    desk: Path, monkeypatch: pytest.MonkeyPatch, fails_after: int | None
) -> None:
    """Each of the releases that may go has a manifest and a blob of its own."""
    root = desk / "store"
    root.mkdir()
    store = NodeAgent(store=f"file://{root}").store
    for number in range(1, 14):
        body = f"number: {number}\n".encode()
        made = release(number)
        store.write(keys.blob_key(blob_of(body)), body, Always())
        built.ledger(store).append(replace(made, contents=replace(made.contents, config=blob_of(body))))
    before, clock = len(built.ledger(store).numbers()), DirectoryStore.clock
    # A file cannot be made older than it is.
    monkeypatch.setattr(DirectoryStore, "clock", lambda self: clock(self) + timedelta(seconds=DAYS))
    if fails_after is not None:
        left = iter(range(fails_after))
        delete = DirectoryStore.delete

        def break_down(self: DirectoryStore, key: str) -> None:
            if not key.startswith(keys.GC_LOCK) and next(left, None) is None:
                raise Unreachable("the disk is away")
            delete(self, key)

        monkeypatch.setattr(DirectoryStore, "delete", break_down)
    ended = CliRunner().invoke(gc, ["--json", "--store", f"file://{root}"])
    monkeypatch.undo()
    assert isinstance(ended.exception, Unreachable) == (fails_after is not None), ended.output
    said = json.loads(ended.stdout)
    assert len(said["store"]["releases"]) == before - len(built.ledger(store).numbers())
    assert said["this_node"] is None
    assert bool(said["store"]["releases"]) == (fails_after != 0), said
