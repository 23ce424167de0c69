"""Waiting for the verdict on a release."""

from datetime import timedelta

import pytest

from da_agent.domain import rollouts
from da_agent.domain.rollouts import Note
from da_agent.errors import NodeBroken, Quarantined, TimedOut
from da_agent.workflows import waits
from da_agent.workflows.rollouts import Rollouts
from da_agent.workflows.waits import Arrival
from tests.fakes import FakeClock, MemoryStore, SilentProgress
from tests.members import Member

PATIENCE = timedelta(seconds=5)


def cluster(*names: str) -> tuple[Member[MemoryStore], ...]:
    """Nodes that serve release 1, which is proven."""
    store = MemoryStore()
    nodes = tuple(Member(store, name) for name in names)
    cycle(*nodes, *nodes)
    assert [node.live for node in nodes] == [1] * len(names)
    return nodes


def cycle(*nodes: Member[MemoryStore]) -> None:
    for node in nodes:
        node.follower.cycle()


def records(node: Member[MemoryStore]) -> Rollouts:
    return Rollouts(node.store, lambda: "nonce")


def wait(node: Member[MemoryStore], number: int, progress: SilentProgress | None = None) -> Arrival:
    progress = progress or SilentProgress()
    return waits.until_proven(node.store, records(node), FakeClock(), progress, number, patience=PATIENCE)


def test_waiting_ends_when_the_release_is_proven() -> None:
    a, _ = cluster("a", "b")
    assert wait(a, 1) == Arrival(1, ("a", "b"), {})


def test_a_node_that_failed_alone_is_named_beside_those_that_serve_the_release() -> None:
    a, b, c = cluster("a", "b", "c")
    a.web.unfit.add(2)
    a.put("config.yml", b"name: b\n")
    cycle(b, c, a, b, c, b, c)
    found = wait(a, 2)
    assert (found.release, found.nodes) == (2, ("b", "c"))
    assert "cannot be imported" in found.without["a"]


def test_a_quarantine_ends_the_waiting_with_its_reason_in_one_sentence() -> None:
    (a,) = cluster("a")
    a.web.unfit.add(2)
    a.put("config.yml", b"name: b\n")
    cycle(a)
    with pytest.raises(Quarantined, match=r"release 2 is quarantined: a: .*cannot be imported.* da-agent pardon 2"):
        wait(a, 2)


def test_when_every_node_is_at_fault_itself_nobody_is_waited_for_and_each_reason_is_named() -> None:
    nodes = cluster("a", "b")
    for node in nodes:
        node.installation.full = "the disk is full"
    nodes[0].put("config.yml", b"name: b\n")
    cycle(*nodes, *nodes)
    nodes[0].store.now += timedelta(seconds=61)
    with pytest.raises(NodeBroken, match=r"neither proven nor quarantined: .* a, b: the disk is full; they go on"):
        wait(nodes[0], 2)
    for node in nodes:
        node.installation.full = None
    cycle(*nodes, *nodes, *nodes)
    assert wait(nodes[0], 2).nodes == ("a", "b")


def test_a_first_release_that_nobody_can_take_ends_the_waiting() -> None:
    node = Member(MemoryStore(), "a")
    node.web.unfit.add(1)
    cycle(node, node)
    node.store.now += timedelta(seconds=61)
    with pytest.raises(NodeBroken, match="a: the application cannot be imported"):
        wait(node, 1)


def test_time_that_is_up_names_those_behind_and_what_they_wait_for() -> None:
    a, b = cluster("a", "b")
    a.put("config.yml", b"name: b\n")
    cycle(a)
    with pytest.raises(TimedOut, match=r"1 of 2 nodes has moved, it is nobody's turn; not yet there: b \(serving\)"):
        wait(b, 2)


def test_a_pause_is_named_with_its_reason_and_its_remedy_when_time_is_up() -> None:
    a, _ = cluster("a", "b")
    note = Note("admin@desk", a.store.now, "night")
    records(a).change(1, lambda record, *_: rollouts.pause(record, note))
    a.put("config.yml", b"name: b\n")
    cycle(a)
    with pytest.raises(TimedOut, match=r"paused by admin@desk .*: night; .*a \(paused.*; da-agent resume"):
        wait(a, 2)


def test_a_newer_release_that_comes_meanwhile_is_waited_for_instead() -> None:
    a, b = cluster("a", "b")
    a.put("config.yml", b"name: b\n")
    cycle(a)
    a.put("config.yml", b"name: c\n")
    cycle(a, b, a, b)
    progress = SilentProgress()
    assert wait(a, 2, progress).release == 3
    assert "Release 3 has come after release 2: its verdict is waited for instead" in progress.said


def test_whoever_waits_is_told_how_many_have_moved_and_who_holds_the_turns() -> None:
    a, b = cluster("a", "b")
    a.put("config.yml", b"name: b\n")
    cycle(a)
    records(a).change(
        2,
        lambda record, live, now: rollouts.claim(record, "b", 2, live, now=now, reason="test", joining=False),
    )
    progress = SilentProgress()
    with pytest.raises(TimedOut):
        wait(b, 2, progress)
    assert "1 of 2 nodes has moved, it is the turn of b" in progress.said


def test_nobody_is_waited_for_when_no_node_is_alive() -> None:
    (a,) = cluster("a")
    a.store.now += timedelta(hours=1)
    assert wait(a, 9) == Arrival(9, (), {})
