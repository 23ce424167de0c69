"""Waiting for the verdict on a release."""

import re
from datetime import timedelta

import pytest

from da_agent.domain.rollout import rollouts, slots
from da_agent.domain.rollout.rollouts import Note
from da_agent.domain.store import keys
from da_agent.errors import (
    AgentError,
    Forbidden,
    NodeBroken,
    NoLiveNodes,
    NotHere,
    Quarantined,
    Superseded,
    TimedOut,
    Unreachable,
)
from da_agent.workflows.admin import waits
from da_agent.workflows.admin.steerings import Steering
from da_agent.workflows.admin.waits import Arrival
from da_agent.workflows.records.rollouts import Rollouts
from tests import built
from tests.fakes import FakeClock, FakeNotifier, MemoryBlobs, MemoryStore, MemoryTransfers, SilentProgress
from tests.members import Member

PATIENCE = timedelta(seconds=5)


def cluster(*names: str) -> tuple[Member[MemoryStore], ...]:
    """Nodes that serve release 1, which is stable."""
    store = MemoryStore()
    nodes = tuple(Member(store, name) for name in names)
    cycle(*nodes, *nodes)
    assert [node.live for node in nodes] == [1] * len(names)
    return nodes


def cycle(*nodes: Member[MemoryStore]) -> None:
    for node in nodes:
        node.reconciler.cycle()


def records(node: Member[MemoryStore]) -> Rollouts:
    return built.rollouts(node.store, lambda: "nonce")


def wait(node: Member[MemoryStore], number: int, progress: SilentProgress | None = None) -> Arrival:
    progress = progress or SilentProgress()
    return built.until_stable(node.store, records(node), FakeClock(), progress, number, patience=PATIENCE)


def test_waiting_ends_when_the_release_is_stable() -> None:
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
    with pytest.raises(Quarantined, match=r"release 2 is quarantined: a: .*cannot be imported.* da-agent retry 2"):
        wait(a, 2)


def test_when_every_node_is_at_fault_itself_nobody_is_waited_for_and_each_reason_is_named() -> None:
    nodes = cluster("a", "b")
    for node in nodes:
        node.installation.full = "the disk is full"
    nodes[0].put("config.yml", b"name: b\n")
    cycle(*nodes, *nodes)
    nodes[0].store.now += timedelta(seconds=61)
    with pytest.raises(NodeBroken, match=r"neither stable nor quarantined: .* a, b: the disk is full; the nodes retry"):
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
    with pytest.raises(TimedOut, match=r"1 of 2 nodes updated, no node is updating; not updated yet: b \(serving\)"):
        wait(b, 2)


def test_however_many_nodes_there_are_their_reports_are_read_only_when_time_is_up() -> None:
    a, b = cluster("a", "b")
    a.put("config.yml", b"name: b\n")
    cycle(a)
    read: list[str] = []
    honest = a.store.read
    a.store.read = lambda key: read.append(key) or honest(key)  # type: ignore[func-returns-value, method-assign]
    with pytest.raises(TimedOut):
        wait(b, 2)
    looks = read.count(keys.rollout_key(2))
    assert looks > 5
    assert sorted(key for key in read if key.startswith(keys.NODES)) == [keys.node_key("a"), keys.node_key("b")]


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
    a.put("config.yml", b"name: b\ntitle: c\n")
    cycle(a, b, a, b)
    progress = SilentProgress()
    assert wait(a, 2, progress).release == 3
    assert "Release 3 was published after release 2; waiting for its verdict instead" in progress.said


def test_whoever_waits_is_told_how_many_have_moved_and_who_holds_the_turns() -> None:
    a, b = cluster("a", "b")
    a.put("config.yml", b"name: b\n")
    cycle(a)
    records(a).change(
        2,
        lambda record, nodes, now: slots.claim(record, "b", 2, nodes.lately, now=now, reason="test", joining=False),
        node="b",
    )
    progress = SilentProgress()
    with pytest.raises(TimedOut):
        wait(b, 2, progress)
    assert "1 of 2 nodes updated, updating: b" in progress.said


def steering(node: Member[MemoryStore]) -> Steering:
    notifications = built.notifications(node.store, FakeNotifier(), lambda: None, node.clock)
    transfers = MemoryTransfers(node.store, MemoryBlobs())
    return built.steering(
        node.store,
        records(node),
        notifications,
        node.clock,
        transfers,
        who="admin@desk",
        nonce=lambda: f"s{node.store.now}",
    )


def test_what_a_rollback_of_somebody_else_has_replaced_does_not_count_as_served() -> None:
    a, b = cluster("a", "b")
    a.put("config.yml", b"name: b\n")
    cycle(a)
    steering(a).rollback(1, "too slow")
    cycle(a, b, a, b)
    told = (
        r"release 2 is not served: release 3, a rollback to release 1, by admin@desk \(too slow\), .* change of name$"
    )
    with pytest.raises(Superseded, match=told):
        wait(a, 2)


def test_what_a_newer_push_has_replaced_does_not_count_as_served() -> None:
    a, b = cluster("a", "b")
    a.put("config.yml", b"name: b\n")
    cycle(a)
    a.put("config.yml", b"name: c\n")
    cycle(a, b, a, b)
    with pytest.raises(Superseded, match="release 2 is not served: release 3, by"):
        wait(a, 2)


def test_whoever_comes_later_does_not_make_a_quarantined_release_a_stable_one() -> None:
    a, _ = nodes = cluster("a", "b")
    for node in nodes:
        node.web.unfit.add(2)
    a.put("config.yml", b"name: b\n")
    cycle(*nodes, *nodes)
    a.put("config.yml", b"name: b\ntitle: c\n")
    cycle(*nodes, *nodes)
    with pytest.raises(Quarantined, match=r"release 2 is quarantined: .*; release 3 was published after it$"):
        wait(a, 2)


def test_what_was_stable_before_somebody_went_back_was_served() -> None:
    a, b = cluster("a", "b")
    a.put("config.yml", b"name: b\n")
    cycle(a, b, a, b)
    steering(a).rollback(1)
    cycle(a, b, a, b)
    progress = SilentProgress()
    assert wait(a, 2, progress) == Arrival(2, ("a", "b"), {})
    assert "Release 3 was published after release 2" in progress.said


def test_a_restart_is_not_undone_by_a_newer_release() -> None:
    a, b = cluster("a", "b")
    made = steering(a).restart("again").release
    cycle(a)
    a.put("config.yml", b"name: b\n")
    cycle(a, b, a, b)
    assert wait(a, made).release == 3


def test_a_newer_release_whose_contents_nobody_can_compare_is_not_taken_for_the_own_one() -> None:
    a, b = cluster("a", "b")
    a.put("config.yml", b"name: b\n")
    cycle(a)
    a.put("config.yml", b"name: b\ntitle: c\n")
    cycle(a, b, a, b)
    a.store.delete(keys.release_key(1))
    with pytest.raises(Superseded, match="it is not known whether it has the change of release 2"):
        wait(a, 2)


def test_a_pause_is_told_at_once_also_where_nobody_has_opened_the_release() -> None:
    a, _ = cluster("a", "b")
    assert waits.pause(records(a), 1) is None
    note = Note("admin@desk", a.store.now, "night")
    records(a).change(1, lambda record, *_: rollouts.pause(record, note))
    made = steering(a).restart("again").release
    told = r"No node updates: the cluster is paused by admin@desk .*: night; da-agent resume"
    for _ in range(2):
        assert re.match(told, waits.pause(records(a), made) or "")
        cycle(a)
    assert records(a).read(made) is not None


def test_nothing_is_stable_when_no_node_is_alive() -> None:
    (a,) = cluster("a")
    a.store.now += timedelta(hours=1)
    with pytest.raises(NoLiveNodes, match="release 9 has no verdict: no node is alive"):
        wait(a, 9)


def test_a_store_that_does_not_answer_ends_the_waiting_only_when_time_is_up_and_with_what_is_true() -> None:
    a, _ = cluster("a", "b")
    a.put("config.yml", b"name: b\n")
    cycle(a)
    clock = FakeClock()
    clock.on_wait = lambda number: setattr(a.store, "failing", Unreachable("connection reset"))
    with pytest.raises(
        TimedOut, match=r"release 2 is published; its rollout continues; .*1 of 2 nodes updated.*connection reset"
    ):
        built.until_stable(a.store, records(a), clock, SilentProgress(), 2, patience=PATIENCE)
    assert len(clock.waits) == PATIENCE / waits.LOOK_AGAIN
    a.store.failing = None


@pytest.mark.parametrize("error", [Unreachable("connection reset"), Forbidden("expired")])
def test_a_store_that_answers_again_has_the_verdict(error: AgentError) -> None:
    a, _ = cluster("a", "b")
    a.store.failing = error
    clock = FakeClock()
    clock.on_wait = lambda number: setattr(a.store, "failing", None if number == 3 else error)
    assert built.until_stable(a.store, records(a), clock, SilentProgress(), 1, patience=PATIENCE).nodes == ("a", "b")


def test_when_no_node_can_publish_the_inbox_each_reason_is_told_at_once() -> None:
    a, b = cluster("a", "b")
    a.resolver.error, b.resolver.error = NotHere("no index"), NotHere("no compiler")
    a.put("packages/requirements.txt", b"six\n")
    a.store.now += timedelta(seconds=60)
    cycle(a)
    clock = FakeClock()

    def other(number: int) -> None:
        if number == 2:
            cycle(b)

    clock.on_wait = other
    with pytest.raises(NotHere, match="a: no index; b: no compiler"):
        built.until_published(a.store, clock, SilentProgress(), timedelta(minutes=10))
    assert len(clock.waits) < 5


def test_waiting_for_a_node_outlasts_a_store_that_is_away_for_a_while() -> None:
    (a,) = cluster("a")
    a.store.failing = Unreachable("connection reset")
    clock = FakeClock()
    clock.on_wait = lambda number: setattr(a.store, "failing", None if number == 3 else a.store.failing)
    assert built.until_published(a.store, clock, SilentProgress(), PATIENCE).release == 1
    a.put("config.yml", b"name: b\n")
    a.store.failing = Unreachable("connection reset")
    with pytest.raises(TimedOut, match="connection reset"):
        built.until_published(a.store, FakeClock(), SilentProgress(), PATIENCE)
