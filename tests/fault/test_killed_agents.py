"""SIGKILL on every way to an effect of an agent, on a real node with a real Apache."""

import itertools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from da_agent.adapters.dev_clusters import DevNode
from da_agent.domain.node.garbage import KEPT_HERE
from da_agent.wiring import NodeAgent
from tests import packages
from tests.clusters_of_witnesses import LONG_AGO, cluster, folder, witness
from tests.fault.killings import Agents, Moment, moments, slots
from tests.supervisorctl import supervisorctl, wait_for

MISSED = 10
"""One of so many moments may not come in its turn, because of how long something took: not more."""


class Victim:
    """A node whose own loop is stopped: only the agents of the test work on it."""

    def __init__(self, node: DevNode, store: Path, agents: Agents) -> None:
        self.node = node
        self.store = store
        self.agents = agents
        self.machine = NodeAgent(node.environment)

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
        node_state = self.machine.node_states.load()
        assert node_state is not None
        assert (node_state.live, node_state.probation, node_state.rejected) == (live, None, ())
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


def check_met(moments: Sequence[Moment], kill: Callable[[Moment], bool]) -> None:
    """Kill at each; what does not come, because it depends on the time, is waited for once more, and may be rare."""
    late = [moment for moment in moments if not kill(moment)]
    missed = [moment for moment in late if not kill(moment)]
    assert len(missed) <= len(moments) // MISSED, missed


@contextmanager
def victim() -> Iterator[Victim]:
    with folder() as path:
        store = path / "store"
        (store / "packages").mkdir(parents=True)
        packages.wheel(store / "packages", "gift", "1.0", {"gift": 'VERSION = "1.0"'})
        write_configuration(store, "first")
        os.utime(store / "config.yml", LONG_AGO)
        os.utime(store / "packages" / "gift-1.0-py3-none-any.whl", LONG_AGO)
        with cluster(1, f"file://{store}") as made:
            made.wait()
            node = made.nodes[0]
            wait_for(node, "initialize", "EXITED")
            supervisorctl(node, "stop", "sync")
            wait_for(node, "sync", "STOPPED")
            with Agents(node.environment) as agents:
                yield Victim(node, store, agents)


@pytest.mark.seconds(200)
@pytest.mark.timeout(3000)
def test_an_agent_killed_on_any_way_to_an_effect_of_a_converge_leaves_one_whole_release_and_the_next_goes_on() -> None:
    with victim() as at:
        greetings = {1: "first"}

        def publish() -> int:
            """Change something; the release that it becomes."""
            number = max(greetings) + 1
            greetings[number] = f"change {number}"
            at.change(greetings[number])
            assert at.agents.run("publish").problem is None
            return number

        # From here on a converge also has a release to remove that is too old to be kept.
        for _ in range(KEPT_HERE + 1):
            publish()
            seen = at.agents.run("converge")
        due = slots(seen.ways)
        assert len(due) > 100, "an agent that stages, switches and proves has more ways than that"

        def kill(moment: Moment) -> bool:
            number = publish()
            killed = at.agents.run("converge", moment)
            served = at.check_whole(greetings)
            if killed.before is None:
                assert (killed.problem, served) == (None, number), moment
                return False
            assert served in (number - 1, number), killed
            assert at.agents.run("converge").problem is None, killed
            assert at.check_whole(greetings) == number, killed
            at.check_tidy(number)
            return True

        check_met(due, kill)


@pytest.mark.timeout(1800)
def test_an_agent_killed_before_any_effect_of_an_adoption_leaves_the_ledger_without_it_or_with_all_of_it() -> None:
    with victim() as at:
        at.change("seen")
        seen = moments(at.agents.run("publish").ways)
        assert len(seen) > 30, "an agent that stores a release has more effects than that"
        numbers = itertools.count()

        def kill(moment: Moment) -> bool:
            before = at.releases()
            at.change(f"change {next(numbers)}")
            killed = at.agents.run("publish", moment)
            after = at.releases()
            assert after[: len(before)] == before
            assert len(after) - len(before) in (0, 1), killed
            for name in after[len(before) :]:
                blobs = json.loads((at.store / ".agent" / "releases" / name).read_text())["contents"]
                assert blobs, killed
            if killed.before is None:
                assert len(after) == len(before) + 1
            assert at.agents.run("publish").problem is None, killed
            assert len(at.releases()) == len(before) + 1, killed
            return killed.before is not None

        check_met(seen, kill)
        # What the ledger names is there, whole: a node can take it.
        assert at.agents.run("converge").problem is None
        assert witness(at.node)["greeting"] == f"change {next(numbers) - 1}"
