"""What a node asks of the store for its part in a rollout, and what it makes of old reports."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from da_agent.domain.packages.wheels import Target
from da_agent.domain.release.releases import Contents, Release
from da_agent.domain.rollout import rollouts, slots
from da_agent.domain.rollout.rollouts import State
from da_agent.domain.store import keys
from da_agent.domain.store.blobs import blob_of
from da_agent.domain.store.inboxes import Entry
from da_agent.ports import Always
from da_agent.workflows.node.rollout_client import RolloutClient
from tests import built
from tests.fakes import NOON, FakeClock, MemoryStore, NoDeadline

CONFIG = b"da agent: {max unavailable: 50%, canary: 0}\n"


class Nodes:
    """Agents that have just been started, with the rollout of release 1; `lists` counts their listings of nodes."""

    def __init__(self, *names: str, config: bytes = CONFIG) -> None:
        self.store = MemoryStore()
        self.clock = FakeClock()
        self.serial = self.lists = 0
        blob = blob_of(config)
        self.store.write(keys.blob_key(blob), config, Always())
        self.release = Release(1, "n", NOON, "admin", "push", Contents(blob, (), (), Target("3.11", "x"), ()))
        self.rollouts = built.rollouts(self.store, self.nonce)
        self.courses = {name: self.rollout_client(name) for name in names}
        scan = self.store.scan

        def counted(prefix: str, after: str = "") -> Iterator[Entry]:
            self.lists += prefix == keys.NODES
            return scan(prefix, after)

        self.store.scan = counted  # type: ignore[method-assign]

    def rollout_client(self, name: str) -> RolloutClient:
        return RolloutClient(
            self.store, built.rollouts(self.store, self.nonce), self.clock, name, deadline=NoDeadline()
        )

    def nonce(self) -> str:
        self.serial += 1
        return str(self.serial)

    def report(self, *names: str) -> None:
        for name in names:
            self.store.write(keys.node_key(name), b"{}", Always())

    def look(self) -> None:
        for rollout_client in self.courses.values():
            rollout_client.look(1, self.release, woken=True)

    def pass_time(self, seconds: float) -> None:
        self.store.now += timedelta(seconds=seconds)
        self.clock.time += timedelta(seconds=seconds)

    def state(self) -> State:
        record = built.rollouts(self.store, self.nonce).read(1)
        assert record is not None
        return record.state


def test_a_share_is_taken_of_those_that_are_heard_although_nobody_is_sure_that_the_others_are_gone() -> None:
    nodes = Nodes("a", "b", "c", "d")
    nodes.report(*(f"gone-{number}" for number in range(12)))
    nodes.pass_time(3600)
    nodes.report("a", "b", "c", "d")
    nodes.look()
    for rollout_client in nodes.courses.values():
        rollout_client.claim(1, "update", joining=False)
    record = built.rollouts(nodes.store, nodes.nonce).read(1)
    assert record is not None
    assert [slot.node for slot in record.slots] == ["a", "b"]


def test_a_verdict_waits_for_those_that_nobody_is_sure_of() -> None:
    nodes = Nodes("a")
    nodes.report("b")
    nodes.pass_time(3600)
    nodes.look()
    nodes.courses["a"].tell_updated()
    assert nodes.state() is State.OPEN
    for _ in range(7):
        nodes.pass_time(10)
        nodes.look()
    nodes.courses["a"].review()
    assert nodes.state() is State.STABLE


def test_a_node_lists_the_others_for_its_claim_and_its_outcome_alone() -> None:
    nodes = Nodes("a")
    nodes.report("a", "b")
    nodes.look()
    rollout_client = nodes.courses["a"]
    assert rollout_client.claim(1, "update", joining=False) is not None
    rollout_client.look_again()
    assert rollout_client.take_release_command()
    rollout_client.finish_release_command(())
    assert nodes.lists == 1
    rollout_client.tell_updated()
    assert nodes.lists == 2


def test_whoever_waits_neither_lists_nor_asks_while_the_record_says_that_others_go_first() -> None:
    nodes = Nodes("a", "b")
    nodes.report("a", "b")
    nodes.look()
    nodes.courses["a"].claim(1, "update", joining=False)
    waiting = nodes.courses["b"]
    waiting.claim(1, "update", joining=False)
    asked = nodes.lists
    for _ in range(20):
        nodes.pass_time(10)
        waiting.look(1, nodes.release, woken=False)
        assert waiting.cluster is not None
        if waiting.cluster.denied is None:
            waiting.claim(1, "update", joining=False)
        assert waiting.cluster.denied == "updating: a"
    assert nodes.lists == asked
    nodes.courses["a"].give_back()
    waiting.look(1, nodes.release, woken=False)
    waiting.claim(1, "update", joining=False)
    assert waiting.cluster is not None
    assert (waiting.cluster.denied, nodes.lists) == ("a goes first", asked + 1), "whoever gives its turn back lists"


def test_whoever_is_woken_lists_again_for_somebody_has_found_that_it_is_its_turn() -> None:
    nodes = Nodes("b", "c")
    nodes.report("a", "b", "c")
    nodes.look()
    waiting = nodes.courses["b"]
    waiting.claim(1, "update", joining=False)
    nodes.store.delete(keys.node_key("a"))
    nodes.pass_time(rollouts.PATIENCE.total_seconds())
    # Something has just happened: c has moved, say, and listed those that come next.
    nodes.rollouts.change(1, lambda record, _, now: replace(record, changed_at=now))
    for woken in (False, True):
        waiting.look(1, nodes.release, woken=woken)
        assert (waiting.claim(1, "update", joining=False) is not None) is woken


@pytest.mark.parametrize("share", ["50%", "1"])
def test_those_that_a_share_is_taken_of_are_listed_again_after_a_while(share: str) -> None:
    nodes = Nodes("a", "b", config=CONFIG.replace(b"50%", share.encode()))
    nodes.report("a", "b")
    nodes.look()
    nodes.courses["a"].claim(1, "update", joining=False)
    waiting = nodes.courses["b"]
    waiting.claim(1, "update", joining=False)
    nodes.pass_time(slots.LISTING.total_seconds() / 2)
    nodes.courses["a"].claim(1, "update", joining=False)
    asked = nodes.lists
    nodes.pass_time(slots.LISTING.total_seconds() / 2)
    waiting.look(1, nodes.release, woken=False)
    waiting.claim(1, "update", joining=False)
    assert nodes.lists == asked + (share == "50%")


@pytest.mark.parametrize("updated", [True, False])
def test_a_rollout_that_is_open_is_read_at_each_poll_also_by_whoever_has_moved(updated: bool) -> None:
    nodes = Nodes("a")
    nodes.report("a", "b")
    nodes.look()
    rollout_client = nodes.courses["a"]
    if updated:
        rollout_client.tell_updated()
    other = nodes.rollout_client("b")
    other.look(1, nodes.release, woken=True)
    other.tell_failed("it answers 500", ())
    rollout_client.look(1, nodes.release, woken=False)
    assert rollout_client.cluster is not None
    assert rollout_client.cluster.rollout.failure("b") is not None
