"""SIGKILL before every effect of an agent, all of them, on a real node with a real Apache."""

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from da_agent.adapters.dev_clusters import DevNode
from da_agent.wiring import Machine
from tests import packages
from tests.clusters_of_witnesses import cluster, folder, witness
from tests.fault.killings import Agents
from tests.supervisorctl import supervisorctl, wait_for

SHARES = 3
"""So many tests take turns at the effects, each on a node of its own."""


class Victim:
    """A node whose own loop is stopped: only the agents of the test work on it."""

    def __init__(self, node: DevNode, store: Path, agents: Agents) -> None:
        self.node = node
        self.store = store
        self.agents = agents
        self.machine = Machine(node.environment)

    def change(self, greeting: str) -> None:
        write_configuration(self.store, greeting)

    def releases(self) -> list[str]:
        return sorted(path.name for path in (self.store / ".agent" / "releases").iterdir())

    def check_whole(self, greetings: dict[int, str]) -> int:
        """The release that is served: all of its parts belong together, and the switch points at a complete one."""
        facts = witness(self.node)
        assert facts["greeting"] == greetings[facts["release"]]
        assert facts["gift"] == {"module": "1.0", "metadata": "1.0"}
        current = self.machine.installation.current()
        assert current is not None
        self.machine.installation.verify(current)
        return int(facts["release"])

    def check_tidy(self, live: int) -> None:
        journal = self.machine.journals.load()
        assert journal is not None
        assert (journal.live, journal.trial, journal.failed) == (live, None, ())
        assert self.machine.installation.current() == live
        agent = self.machine.paths.agent
        litter = [*(agent / "scratch").iterdir(), *agent.glob(".*"), *self.machine.paths.root.glob(".*")]
        assert litter == []
        complete = {self.machine.paths.release(number) for number in self.machine.installation.staged()}
        assert set(self.machine.paths.releases.iterdir()) == complete


def write_configuration(store: Path, greeting: str) -> None:
    text = f"secretkey: abcdefghijklmnop\ngreeting: {greeting}\nda agent:\n  quiet period: 0\n  processes: 1\n"
    text += "  min healthy: 0\n"
    unfinished = store / ".new"
    unfinished.write_text(text)
    unfinished.replace(store / "config.yml")


@contextmanager
def victim() -> Iterator[Victim]:
    with folder() as path:
        store = path / "store"
        (store / "packages").mkdir(parents=True)
        packages.wheel(store / "packages", "gift", "1.0", {"gift": 'VERSION = "1.0"'})
        write_configuration(store, "first")
        with cluster(1, f"file://{store}") as made:
            made.wait()
            node = made.nodes[0]
            wait_for(node, "initialize", "EXITED")
            supervisorctl(node, "stop", "sync")
            wait_for(node, "sync", "STOPPED")
            with Agents(node.environment) as agents:
                yield Victim(node, store, agents)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("share", range(SHARES))
def test_an_agent_killed_before_any_effect_of_a_converge_leaves_one_whole_release_and_the_next_agent_goes_on(
    share: int,
) -> None:
    with victim() as at:
        greetings = {1: "first"}
        for effect in itertools.count(share, SHARES):
            before = max(greetings)
            greetings[before + 1] = f"change {effect}"
            at.change(greetings[before + 1])
            assert at.agents.run("adopt").problem is None
            killed = at.agents.run("converge", effect)
            served = at.check_whole(greetings)
            if killed.before is None:
                assert (killed.problem, served) == (None, before + 1)
                break
            assert served in (before, before + 1), killed
            assert at.agents.run("converge").problem is None, killed
            assert at.check_whole(greetings) == before + 1, killed
            at.check_tidy(before + 1)
        assert effect > 100, "an agent that stages, switches and proves has more effects than that"


@pytest.mark.timeout(600)
def test_an_agent_killed_before_any_effect_of_an_adoption_leaves_the_ledger_without_it_or_with_all_of_it() -> None:
    with victim() as at:
        for effect in itertools.count():
            before = at.releases()
            at.change(f"change {effect}")
            killed = at.agents.run("adopt", effect)
            after = at.releases()
            assert after[: len(before)] == before
            assert len(after) - len(before) in (0, 1), killed
            for name in after[len(before) :]:
                blobs = json.loads((at.store / ".agent" / "releases" / name).read_text())["contents"]
                assert blobs, killed
            assert at.agents.run("adopt").problem is None, killed
            assert len(at.releases()) == len(before) + 1, killed
            if killed.before is None:
                assert len(after) == len(before) + 1
                break
            # What the ledger names is there, whole: a node can take it.
        assert at.agents.run("converge").problem is None
        assert witness(at.node)["greeting"] == f"change {effect}"
        assert effect > 30, "an agent that stores a release has more effects than that"
