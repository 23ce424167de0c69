"""Two machines with one name, and one machine that starts anew."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from da_agent import ports
from da_agent.domain.node.heartbeats import HEARTBEAT
from da_agent.domain.node.reports import SILENT
from da_agent.domain.rollout import rollouts
from da_agent.domain.rollout.rollouts import Note
from da_agent.domain.store import keys
from da_agent.errors import Unreachable
from da_agent.workflows.admin import statuses
from da_agent.workflows.records import reports
from da_agent.workflows.records.readers import Reader
from tests import built
from tests.fakes import MemoryStore
from tests.members import Member

POLL = timedelta(seconds=5)


def machine(store: MemoryStore, identity: str, name: str = "web") -> Member[MemoryStore]:
    return Member(store, name, identity=identity)


def pass_time(store: MemoryStore, machines: list[Member[MemoryStore]], period: timedelta) -> Iterator[None]:
    """`machines` poll for so long; yields after the poll of each."""
    ends = store.now + period
    while store.now < ends:
        store.now += POLL
        for each in machines:
            each.clock.time += POLL
            each.reconciler.cycle()
            yield


def live_for(store: MemoryStore, machines: list[Member[MemoryStore]], period: timedelta) -> None:
    for _ in pass_time(store, machines, period):
        pass


class Deaf(MemoryStore):
    """Does not answer, while it is `deaf`, to those who ask for reports."""

    deaf = False

    def read(self, key: str) -> ports.Stored:
        if self.deaf and key.startswith(keys.NODES):
            raise Unreachable("no answer")
        return super().read(key)


def serving(store: MemoryStore | None = None) -> Member[MemoryStore]:
    first = machine(store or MemoryStore(), "first")
    assert first.reconciler.until_serving() is None
    return first


def clone(original: Member[MemoryStore]) -> Member[MemoryStore]:
    """All that lies on its disk, on a machine of its own that has been started."""
    made = machine(original.store, "clone")
    made.installation.live = original.installation.live
    made.installation.disk = dict(original.installation.disk)
    made.node_states.node_state = original.node_states.node_state
    return made


def said(node: Member[MemoryStore]) -> str:
    return "\n".join(node.progress.said)


def push(store: MemoryStore, text: str) -> None:
    store.write(keys.CONFIG, f"name: {text}\n".encode(), ports.Always())


def there(store: MemoryStore) -> statuses.There:
    return built.cluster(store, built.rollouts(store, lambda: "nonce"))


def test_two_machines_with_one_name_are_never_on_their_way_together_and_it_is_told() -> None:
    first = serving()
    second, store = clone(first), first.store
    live_for(store, [first, second], 2 * HEARTBEAT)
    push(store, "b")
    live_for(store, [second, first], 2 * HEARTBEAT)
    assert (first.live, second.live) == (2, 1)
    record = built.rollouts(store, lambda: "nonce").read(2)
    assert record is not None
    assert (record.updated, record.slots) == (("web",), ())
    assert "cannot take part in rollouts: another machine reports as web, too" in said(second)
    assert "another machine" not in said(first)
    (told,) = there(store).twins
    assert str(told).startswith("Two machines report as web: host host, address address has the name")
    assert str(told) in statuses.explain(there(store), "web")


def test_a_clone_writes_nothing_over_the_report_of_the_one_that_has_the_name() -> None:
    first = serving()
    second = clone(first)
    for _ in pass_time(first.store, [second, first], 3 * HEARTBEAT):
        assert next(built.node_statuses(first.store)).report.identity == "first"


def test_a_clone_takes_no_part_before_its_first_report_was_answered() -> None:
    store = Deaf()
    first = serving(store)
    second = clone(first)
    # Another node has still to move, so the rollout is open.
    store.write(keys.node_key("zebra"), b"{}", ports.Always())
    push(store, "b")
    first.reconciler.cycle()
    assert first.live == 2
    store.deaf = True
    second.reconciler.cycle()
    assert second.live == 1
    record = built.rollouts(store, lambda: "nonce").read(2)
    assert record is not None
    assert (record.updated, record.slots) == (("web",), ())


def test_the_second_takes_over_when_the_first_has_been_silent_for_the_usual_time() -> None:
    first = serving()
    second, store = clone(first), first.store
    live_for(store, [first, second], 2 * HEARTBEAT)
    push(store, "b")
    live_for(store, [second], SILENT - HEARTBEAT)
    assert second.live == 1
    live_for(store, [second], 2 * HEARTBEAT)
    assert second.live == 2
    assert "This machine has the name web" in said(second)
    assert there(store).twins == ()
    # What had the name before stays beside now, also when it only was suspended.
    first.clock.time += SILENT
    push(store, "c")
    live_for(store, [first, second], 2 * HEARTBEAT)
    assert (first.live, second.live) == (1, 3)
    assert "another machine reports as web, too" in said(first)


def test_a_machine_that_was_suspended_looks_whether_it_has_the_name_before_it_claims_a_slot() -> None:
    first = serving()
    second, store = clone(first), first.store
    push(store, "b")
    steering = built.rollouts(store, lambda: "nonce")
    paused = False

    def pause(key: str) -> None:
        nonlocal paused
        if key == keys.node_key("web") and not paused and steering.read(2) is not None:
            paused = True
            steering.change(2, lambda record, _, now: rollouts.pause(record, Note("me", now, "night shift")))

    store.before_write = pause
    first.reconciler.cycle()
    assert (first.live, first.reconciler._node.waiting) == (1, "paused by me: night shift")
    live_for(store, [second], SILENT + HEARTBEAT)
    first.clock.time += SILENT + HEARTBEAT
    steering.change(2, lambda record, _, now: rollouts.resume(record, Note("me", now, "morning")))
    first.reconciler.cycle()
    assert first.live == 1
    second.reconciler.cycle()
    assert second.live == 2


def test_another_process_of_the_same_machine_has_the_name_at_once() -> None:
    node = serving()
    push(node.store, "b")
    before = node.reconciler
    node.begin().cycle()
    assert node.live == 2
    # Both report, each over the report of the other.
    for reconciler in (before, node.reconciler, before):
        node.clock.time += HEARTBEAT
        reconciler.beat()
    assert "machine" not in said(node)
    assert there(node.store).twins == ()


def test_a_machine_that_starts_anew_is_never_called_a_twin_and_goes_on_within_the_usual_time() -> None:
    node = serving()
    node.identity = "first, started anew"
    node.begin()
    push(node.store, "b")
    live_for(node.store, [node], SILENT + 2 * POLL)
    assert node.live == 2
    assert "waiting for the name web" in said(node)
    assert "another machine reports" not in said(node)
    assert there(node.store).twins == ()


def test_of_two_machines_that_find_the_name_free_at_the_same_time_one_has_it() -> None:
    first = serving()
    store, ours = first.store, first.reconciler._report
    store.now += SILENT + POLL
    faster, slower = reports.Reporter(store, Reader(store)), reports.Reporter(store, Reader(store))

    def be_faster(_: str) -> None:
        store.before_write = lambda _: None
        faster.send(replace(ours, identity="faster"))

    store.before_write = be_faster
    slower.send(replace(ours, identity="slower"))
    assert faster.excluded(replace(ours, identity="faster")) is None
    assert slower.excluded(replace(ours, identity="slower")) is not None
    assert next(built.node_statuses(store)).report.identity == "faster"


@pytest.mark.parametrize("data", [b"{}", b"not even JSON"])
def test_a_damaged_report_is_replaced(data: bytes) -> None:
    node = serving()
    node.store.write(keys.node_key("web"), data, ports.Always())
    node.begin().cycle()
    assert next(built.node_statuses(node.store)).report.identity == "first"


def test_a_twin_that_leaves_signs_off_no_other_machine() -> None:
    first = serving()
    second, store = clone(first), first.store
    live_for(store, [first, second], 2 * HEARTBEAT)
    steering = built.rollouts(store, lambda: "nonce")
    built.departures(store, steering).sign_off("web", "clone")
    assert [each.report.identity for each in built.node_statuses(store)] == ["first"]
    assert steering.live() == ("web",)
    built.departures(store, steering).sign_off("web", "first")
    assert steering.live() == ()


def test_a_machine_takes_part_at_once_under_the_name_of_one_that_has_signed_off() -> None:
    first = serving()
    second, store = clone(first), first.store
    built.departures(store, built.rollouts(store, lambda: "nonce")).sign_off("web", "first")
    push(store, "b")
    second.reconciler.cycle()
    assert second.live == 2
    assert "waiting for the name" not in said(second)
