"""A real disk that is full at each step: the old release serves, one sentence says where and how much, and the node
goes on by itself once there is room."""

import itertools
import os
import random
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from da_agent.adapters.dev_clusters import DevNode
from da_agent.adapters.directory_store import DirectoryStore
from da_agent.adapters.disk_space import DiskSpace
from da_agent.adapters.packaging import UvEnvironments, unpacked
from da_agent.adapters.release_folders import ReleaseFolders
from da_agent.domain.config.settings import Settings
from da_agent.domain.node.node_states import NodeState
from da_agent.domain.packages.wheels import Wheel
from da_agent.domain.release.releases import Release
from da_agent.errors import Busy, NodeBroken, Unreachable
from da_agent.ports import Always, IfAbsent
from da_agent.wiring import NodeAgent
from tests import packages
from tests.clusters_of_witnesses import create, folder, running, witness
from tests.disks import Disk, disk
from tests.fault.killings import Agents
from tests.supervisorctl import supervisorctl, wait_for

SENTENCE = re.compile(r"the disk of (\S+) is full: ([\d.]+) (bytes|MB) free, about ([\d.]+) (bytes|MB) more are needed")
DISK = 64 << 20
PAGE = 4096


def lacking(problem: object, below: Path) -> int:
    """How many bytes the sentence asks for; it must name a folder of that disk."""
    found = SENTENCE.search(str(problem))
    assert found is not None, problem
    assert Path(found[1]).is_relative_to(below), problem
    return round(float(found[4]) * (1e6 if found[5] == "MB" else 1))


# ---- a whole node


@dataclass
class Crammed:
    """A node on a small disk of its own, whose loop is stopped: the test's agent works on it."""

    node: DevNode
    disk: Disk
    store: Path
    admin: NodeAgent
    agents: Agents

    def publish(self, greeting: str, size: int) -> int:
        """A release with a package of about `size` bytes; made on another machine."""
        text = "".join(f"V{number} = {number!r}  # {greeting}\n" for number in range(size // 100))
        (self.store / "packages").mkdir(exist_ok=True)
        packages.wheel(self.store / "packages", "gift", "1.0", {"gift": f'VERSION = "1.0"\n{text}'})
        write_configuration(self.store, greeting)
        verdict = self.admin.publisher.publish("a test")
        assert verdict.release is not None, verdict
        return verdict.release

    @property
    def machine(self) -> NodeAgent:
        return NodeAgent(self.node.environment)

    def check_serves(self, release: int, greeting: str) -> None:
        facts = witness(self.node)
        assert (facts["release"], facts["greeting"]) == (release, greeting)
        machine = self.machine
        assert machine.installation.current() == release
        machine.installation.verify(release)
        assert machine.node_states.load() == NodeState(live=release)
        half = set(machine.paths.releases.iterdir()) - {
            machine.paths.release(number) for number in machine.installation.staged()
        }
        assert half == set()


def write_configuration(store: Path, greeting: str) -> None:
    text = f"secretkey: abcdefghijklmnop\ngreeting: {greeting}\nda agent:\n  quiet period: 0\n  processes: 1\n"
    (store / "config.yml").write_text(text)


@pytest.fixture
def crammed() -> Iterator[Crammed]:
    with folder() as path:
        store = path / "store"
        store.mkdir()
        write_configuration(store, "first")
        made = create(path, 1, f"file://{store}")
        node = made.nodes[0]
        with disk(node.root, DISK) as small, running(made):
            made.wait()
            wait_for(node, "initialize", "EXITED")
            supervisorctl(node, "stop", "sync")
            wait_for(node, "sync", "STOPPED")
            variables = {**node.environment, "DA_AGENT_ROOT": str(path / "nowhere"), "DA_AGENT_NODE": "admin"}
            with Agents(node.environment) as agents:
                yield Crammed(node, small, store, NodeAgent(variables), agents)


@pytest.mark.timeout(900)
def test_a_release_that_does_not_fit_is_not_begun_and_is_taken_once_there_is_as_much_room_as_the_sentence_says(
    crammed: Crammed,
) -> None:
    number, greeting = 1, "first"
    for round_, free in enumerate((0, 100 * PAGE)):
        following = crammed.publish(f"change {round_}", 400_000)
        crammed.disk.leave(free)
        refusals = 0
        while (problem := crammed.agents.run("converge").problem) is not None:
            before = crammed.disk.free
            crammed.check_serves(number, greeting)
            lack = lacking(problem, crammed.node.root)
            # What we write ourselves must not bring it nearer to its end.
            assert crammed.disk.free >= before - 2 * PAGE
            crammed.disk.leave(before + lack + 2 * PAGE)
            refusals += 1
        assert refusals in (1, 2), "one before and one after fetching, when the sizes are known"
        number, greeting = following, f"change {round_}"
        crammed.check_serves(number, greeting)
        assert crammed.disk.free >= DISK // 50 - 4 * PAGE, "the last of the disk is not ours"
        crammed.disk.clear()


# ---- each step


@dataclass
class Bench:
    """A node on a small disk whose web server does not run. Release 1 is live there, release 2 is in the store."""

    disk: Disk
    machine: NodeAgent
    packages: Path
    second: Release

    def stage(self, before_rendering: Callable[[], object] = lambda: None) -> None:
        """Stage release 2 with an agent that has looked for room before the disk became full."""
        machine, looks = self.machine, itertools.count()
        room = DiskSpace(machine.paths, machine.blobs, unpacked)

        def early(release: Release, there: Collection[Wheel]) -> None:
            if next(looks) > 0:
                room.require(release, there)

        def render(release: Release, settings: Settings, into: Path) -> None:
            before_rendering()
            machine.web.render(release, settings, into)

        environments = UvEnvironments(machine.node.python, machine.blobs, machine.paths)
        folders = ReleaseFolders(
            machine.paths, machine.blobs, build=environments.build, render=render, require_room=early, group=None
        )
        folders.stage(self.second, machine.settings(self.second))

    def check_first(self) -> None:
        """Release 1 is whole and live, and nothing of another one is there."""
        assert self.machine.installation.current() == 1
        assert self.machine.installation.staged() == {1}
        assert list(self.machine.paths.releases.iterdir()) == [self.machine.paths.release(1)]
        self.machine.installation.verify(1)
        assert list(self.machine.paths.wheel_cache.rglob(".tmp*")) == []


@pytest.fixture
def bench() -> Iterator[Bench]:
    with folder() as path:
        store = path / "store"
        (store / "packages").mkdir(parents=True)
        environment = {**os.environ, "DA_AGENT_STORE": f"file://{store}", "DA_AGENT_NODE": "n"}
        admin = NodeAgent({**environment, "DA_AGENT_ROOT": str(path / "nowhere")})
        for name in ("gift", "shop"):
            write_configuration(store, name)
            packages.wheel(store / "packages", name, "1.0", {name: "".join(f"V{n} = {n}\n" for n in range(5000))})
            assert admin.publisher.publish("a test").mistakes == ()
        with disk(path / "node", DISK) as small:
            machine = NodeAgent({**environment, "DA_AGENT_ROOT": str(path / "node")})
            machine.prepare()
            machine.web.prepare()
            first, second = (machine.ledger.read(number) for number in (1, 2))
            machine.transfers.fetch(first.contents.blobs())
            machine.installation.stage(first, machine.settings(first))
            machine.installation.switch(1)
            yield Bench(small, machine, store / "packages", second)


def swept(bench: Bench, work: Callable[[], object], step: int = 1) -> list[str]:
    """Do `work` with more and more room until it succeeds; what it stumbled over."""
    causes = []
    for pages in itertools.count(0, step):
        bench.disk.leave(pages * PAGE)
        try:
            work()
        except NodeBroken as error:
            lacking(error, bench.disk.path)
            causes.append(str(error.__context__ or error))
        else:
            return causes
        bench.check_first()
    raise AssertionError


def test_a_disk_that_becomes_full_while_blobs_are_fetched(bench: Bench) -> None:
    causes = swept(bench, lambda: bench.machine.transfers.fetch(bench.second.contents.blobs()))
    assert len(causes) > 10
    assert list(bench.machine.paths.scratch.iterdir()) == []
    assert all(bench.machine.blobs.has(blob) for blob in bench.second.contents.blobs())


def test_a_disk_that_becomes_full_while_the_environment_is_made(bench: Bench) -> None:
    bench.machine.transfers.fetch(bench.second.contents.blobs())
    causes = swept(bench, bench.stage, 4)
    assert sum("make an environment" in cause for cause in causes) > 5
    bench.machine.installation.verify(2)


def test_a_disk_that_becomes_full_behind_the_environment(bench: Bench) -> None:
    bench.machine.transfers.fetch(bench.second.contents.blobs())
    causes = []
    for pages in itertools.count():
        bench.disk.clear()
        try:
            bench.stage(partial(bench.disk.leave, pages * PAGE))
        except NodeBroken as error:
            lacking(error, bench.disk.path)
            causes.append(str(error.__context__ or error))
            bench.check_first()
        else:
            break
    bench.machine.installation.verify(2)
    # The files of the web server, then the inventory and the manifest.
    words = [cause.split()[1] for cause in causes]
    assert words == sorted(words, reverse=True)
    assert (words.count("write") >= 3, words.count("stage") >= 2) == (True, True), words


def test_an_adoption_on_a_full_disk_leaves_the_inbox_as_it_is_and_nothing_behind(bench: Bench) -> None:
    machine = bench.machine
    noise = random.Random(1).randbytes(3 << 20).hex()
    packages.wheel(bench.packages, "noise", "1.0", {"noise": f"NOISE = {noise!r}\n"})
    causes = set()
    for free in (0, 1 << 20, 4 << 20, 8 << 20, 12 << 20):
        bench.disk.leave(free)
        with pytest.raises(NodeBroken) as caught:
            machine.publisher.publish("a test")
        lacking(caught.value, bench.disk.path)
        causes.add(" ".join(str(caught.value).split()[:3]))
        bench.check_first()
        assert machine.ledger.head() == 2
        assert list(machine.paths.scratch.iterdir()) == []
    assert causes == {"cannot copy 1", "cannot resolve packages"}
    bench.disk.clear()
    assert machine.publisher.publish("a test").release == 3


# ---- what needs no release


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[tuple[NodeAgent, Disk]]:
    with disk(tmp_path / "node", DISK) as small:
        made = NodeAgent({**os.environ, "DA_AGENT_ROOT": str(small.path)})
        made.prepare()
        yield made, small


def test_a_node_state_that_cannot_be_written_is_the_one_before(machine: tuple[NodeAgent, Disk]) -> None:
    node_states, small = machine[0].node_states, machine[1]
    node_states.save(NodeState(live=1))
    small.leave(0)
    with pytest.raises(NodeBroken, match="cannot write the node state") as caught:
        node_states.save(NodeState(live=2))
    lacking(caught.value, small.path)
    assert node_states.load() == NodeState(live=1)
    small.clear()
    node_states.save(NodeState(live=2))
    assert node_states.load() == NodeState(live=2)


def test_a_node_with_a_full_disk_can_still_be_locked(machine: tuple[NodeAgent, Disk]) -> None:
    made, small = machine
    small.leave(0)
    other = NodeAgent(made.environment)
    with (
        made.lock.hold(timedelta()),
        pytest.raises(Busy, match="holds the lock of this node"),
        other.lock.hold(timedelta()),
    ):
        pass


# ---- the store


def test_a_full_store_is_said_to_be_full_and_nothing_of_what_was_written_is_there(tmp_path: Path) -> None:
    with disk(tmp_path / "store", 1 << 20) as small:
        store = DirectoryStore(small.path)
        store.write("config.yml", b"old", Always())
        for pages in range(3):
            small.leave(pages * PAGE)
            for key, when in (("config.yml", Always()), ("new", IfAbsent())):
                with pytest.raises(Unreachable, match=f"cannot write {key} in the store {small.path}") as caught:
                    store.write(key, b"x" * 4 * PAGE, when)
                assert abs(lacking(caught.value, small.path) - (4 - pages) * PAGE) <= 2 * PAGE
        assert [entry.key for entry in store.scan("")] == ["ballast", "config.yml"]
        assert store.read("config.yml").data == b"old"
        small.clear()
        store.write("new", b"x" * 4 * PAGE, IfAbsent())
        assert len(store.read("new").data) == 4 * PAGE
