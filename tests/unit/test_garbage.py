"""What is removed, and above all what is not."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from da_agent import ports
from da_agent.domain import records
from da_agent.domain.node import garbage
from da_agent.domain.node.node_states import NodeState, Probation
from da_agent.domain.node.reports import Phase, Report
from da_agent.domain.packages.overlaps import Overlap
from da_agent.domain.packages.wheels import Wheel
from da_agent.domain.rollout import verdicts
from da_agent.domain.store import keys
from da_agent.domain.store.blobs import blob_of
from da_agent.errors import UnknownFormat
from da_agent.workflows.records import reports
from da_agent.workflows.upkeep.garbage import Collected, Freed, clear
from tests import built
from tests.fake_nodes import FakeInstallation, release
from tests.fakes import NOON, FakeClock, MemoryBlobs, MemoryStore

OLD, YOUNG = NOON - timedelta(days=3), NOON - timedelta(hours=23)


@pytest.mark.parametrize(
    ("needed", "gone"),
    [
        pytest.param({9}, (1, 2, 3, 4, 5, 6, 7), id="the newest two, and the one before the served one"),
        pytest.param({4, 9}, (1, 2, 5, 6, 7), id="what a node serves, and the one before"),
        pytest.param({1}, (2, 3, 4, 5, 6, 7, 8), id="there is nothing before the first"),
        pytest.param(set(), (1, 2, 3, 4, 5, 6, 7, 8), id="nobody is there"),
        pytest.param({77}, (1, 2, 3, 4, 5, 6, 7, 8), id="a node that serves what the ledger does not have"),
    ],
)
def test_releases_that_nobody_needs_go_oldest_first(needed: set[int], gone: tuple[int, ...]) -> None:
    written = dict.fromkeys(range(1, 11), OLD)
    assert garbage.needless_releases(written, needed, now=NOON, kept=2) == gone


def test_nothing_younger_than_a_day_goes_and_never_the_newest() -> None:
    written = dict.fromkeys(range(1, 11), OLD) | {3: YOUNG}
    assert 3 not in garbage.needless_releases(written, {10}, now=NOON, kept=2)
    assert garbage.needless_releases({1: OLD}, (), now=NOON, kept=0) == ()
    assert garbage.needless_blobs({"a": OLD, "b": YOUNG, "c": OLD}, ["c"], now=NOON) == ("a",)


@pytest.mark.parametrize(
    ("current", "node_state", "kept"),
    [
        pytest.param(9, NodeState(live=9), {9, 8, 7}, id="the live one and the two newest others"),
        pytest.param(9, NodeState(live=3, probation=Probation(9, 3, NOON)), {9, 8, 7, 3}, id="in a probation"),
        pytest.param(
            3, NodeState(live=3, probation=Probation(5, 3, NOON)), {3, 5, 9, 8}, id="before the switch of a probation"
        ),
        pytest.param(2, NodeState(), {2, 9, 8}, id="nothing was ever stable"),
        pytest.param(None, NodeState(), {9, 8}, id="nothing is live"),
    ],
)
def test_a_node_keeps_what_it_serves_what_it_may_go_back_to_and_a_few_more(
    current: int | None, node_state: NodeState, kept: set[int]
) -> None:
    assert garbage.kept_here(range(1, 10), current, node_state) == kept


def test_a_node_is_cleared_of_releases_and_of_the_blobs_that_only_they_had() -> None:
    installation, blobs, environments = FakeInstallation(), MemoryBlobs(), Forgetful()
    for number in range(1, 7):
        body = f"configuration {number}".encode()
        made = release(number)
        installation.disk[number] = replace(made, contents=replace(made.contents, config=blob_of(body)))
        blobs.bodies[blob_of(body)] = body
    installation.live = 6

    def cleared(*, dry_run: bool) -> Freed:
        return clear(installation, blobs, environments, NodeState(live=6), now=NOON, dry_run=dry_run)

    planned = cleared(dry_run=True)
    assert (planned.releases, len(planned.blobs), len(blobs.bodies)) == ((1, 2, 3), 3, 6)
    assert set(installation.disk) == set(range(1, 7))
    assert (cleared(dry_run=False), set(installation.disk)) == (planned, {4, 5, 6})
    assert sorted(blobs.bodies.values()) == [b"configuration 4", b"configuration 5", b"configuration 6"]
    assert environments.times == 1


@pytest.mark.parametrize("lost", [None, 39, 40])
def test_the_newest_stable_release_stays_however_many_bad_ones_came_after_it(lost: int | None) -> None:
    """Also when the record of one of the newest has been damaged."""
    store = old_cluster(40)
    serial = itertools.count()
    rollouts_ = built.rollouts(store, lambda: str(next(serial)))
    for number in range(1, 41):
        rollouts_.open(number, None)
        if number == 3:
            rollouts_.change(
                3, lambda record, nodes, now: verdicts.updated(record, "a", nodes.lately, now=now), node="a"
            )
    if lost is not None:
        store.write(keys.rollout_key(lost), b"{", ports.Always())
    gone = collected(store).releases
    assert 3 not in gone
    assert 4 in gone
    assert (rollouts_.read(3) is None, rollouts_.read(4) is None) == (False, True)
    assert collected(store).releases == ()


def report_of(node: str, number: int) -> Report:
    return Report(node, "host", "1.2.3.4:80", number, number, Phase.SERVING, None, "0.1", "Python 3.11", OLD)


def test_a_node_that_is_long_gone_keeps_nothing_and_is_told() -> None:
    store = old_cluster(30)
    for days, node, number in ((31, "gone", 3), (29, "away", 6)):
        store.now = NOON - timedelta(days=days)
        reports.send(store, report_of(node, number))
    store.write(keys.node_key("no such name"), b"{", ports.Always())
    store.now = NOON - timedelta(days=300)
    store.write(keys.node_key("damaged"), b"{", ports.Always())
    store.now = NOON
    (problem,) = collected(store, dry_run=True).problems
    assert "no such name.json in memory://store is not a report" in problem
    store.delete(keys.node_key("no such name"))
    planned = collected(store, dry_run=True)
    assert planned.nodes == ("damaged", "gone")
    assert set(range(1, 21)) - set(planned.releases) == {5, 6}
    assert collected(store) == planned
    assert [entry.key for entry in store.scan(keys.NODES)] == [keys.node_key("away"), keys.node_key("node1")]


def collected(store: MemoryStore, *, dry_run: bool = False) -> Collected:
    return built.collect(store, FakeClock(), dry_run=dry_run, who="me", nonce="0123456789")


class Forgetful:
    """Environments that count how often they are told to forget."""

    times = 0

    def build(self, wheels: Sequence[Wheel], into: Path, overlaps: Sequence[Overlap] = ()) -> None:
        raise AssertionError("nothing is built here")

    def forget(self) -> None:
        self.times += 1


def old_cluster(releases: int) -> MemoryStore:
    """Releases with a blob of their own each, three days old; a node serves the newest."""
    store = MemoryStore(OLD)
    for number in range(1, releases + 1):
        body = f"number: {number}\n".encode()
        made = release(number)
        store.write(keys.blob_key(blob_of(body)), body, ports.Always())
        built.ledger(store).append(replace(made, contents=replace(made.contents, config=blob_of(body))))
    store.write(keys.blob_key(blob_of(b"left over")), b"left over", ports.Always())
    report = Report("node1", "host", "1.2.3.4:80", releases, releases, Phase.SERVING, None, "0.1", "Python 3.11", OLD)
    reports.send(store, report)
    store.now = NOON
    return store


def test_what_stays_is_whole_and_what_goes_is_told_first() -> None:
    store = old_cluster(15)
    planned = collected(store, dry_run=True)
    assert planned.releases == (1, 2, 3, 4, 5)
    assert len(planned.blobs) == 6
    assert len(built.ledger(store).numbers()) == 15
    assert collected(store, dry_run=False) == planned
    numbers = built.ledger(store).numbers()
    assert numbers == tuple(range(6, 16))
    for number in numbers:
        store.read(keys.blob_key(built.ledger(store).read(number).contents.config))
    assert collected(store, dry_run=False).releases == ()


@pytest.mark.parametrize("key", [keys.node_key("node1"), keys.release_key(9)])
@pytest.mark.parametrize("damage", [b"{", b"[" * 200_000 + b"]" * 200_000], ids=["cut", "nested"])
def test_what_a_record_may_need_stays_while_it_cannot_be_read_and_the_rest_goes(key: str, damage: bytes) -> None:
    store = old_cluster(15)
    store.write(keys.release_key(9_999_999_999), b"{", ports.Always())
    store.write(key, damage, ports.Always())
    before = {entry.key for entry in store.scan("")}
    found = collected(store)
    assert len(found.problems) == 1
    assert key in found.problems[0]
    gone = before - {entry.key for entry in store.scan("")}
    if key == keys.node_key("node1"):
        assert "da-agent forget node1" in found.problems[0]
        assert gone == {keys.blob_key(blob_of(b"left over"))}
    else:
        assert gone == {keys.release_key(number) for number in range(1, 6)}
    assert collected(store, dry_run=True).problems == found.problems


def test_nothing_goes_beside_the_release_of_a_newer_agent() -> None:
    store = old_cluster(15)
    store.write(keys.release_key(9), b'{"format": 2}', ports.Always())
    before = {entry.key for entry in store.scan("")}
    with pytest.raises(UnknownFormat, match=keys.release_key(9)):
        collected(store)
    assert {entry.key for entry in store.scan("")} - {keys.GC_LOCK} == before


def delete_until(delete: Callable[[str], None], left: Iterator[int], key: str) -> None:
    if next(left, None) is None:
        raise KeyboardInterrupt
    delete(key)


def test_a_cut_in_the_middle_leaves_no_release_without_its_blobs() -> None:
    for cut in range(11):
        store = old_cluster(15)
        store.delete = partial(delete_until, store.delete, iter(range(cut)))  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            collected(store, dry_run=False)
        for number in built.ledger(store).numbers():
            assert records.encode(built.ledger(store).read(number))
            store.read(keys.blob_key(built.ledger(store).read(number).contents.config))


def test_a_node_that_has_left_keeps_what_it_served_for_a_month_and_is_gone_then() -> None:
    store = old_cluster(30)
    store.now = NOON - timedelta(days=29)
    reports.sign_off(store, report_of("away", 6))
    store.now = NOON
    planned = collected(store, dry_run=True)
    assert planned.nodes == ()
    assert 6 not in planned.releases
    store.now = NOON + timedelta(days=2)
    assert collected(store).nodes == ("away",)
    assert list(store.scan(keys.LEFT)) == []
