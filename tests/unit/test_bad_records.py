"""What another writer of the store can put there: a bad record is the problem of one node or one release."""

import re
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache

import pytest

from da_agent.domain import limits, records
from da_agent.domain.node.reports import SILENT
from da_agent.domain.release import numbering
from da_agent.domain.rollout.rollouts import Note, ReleaseCommandRun, Slot
from da_agent.domain.store import keys
from da_agent.domain.store.leases import TERM, Lease
from da_agent.errors import Corrupt, StoreUnfit, Unreachable
from da_agent.ports import Always
from da_agent.views import clusters
from da_agent.workflows.admin import statuses
from da_agent.workflows.admin.steerings import Steering
from da_agent.workflows.records.readers import Reader
from tests import built
from tests.fakes import NOON, FakeClock, FakeNotifier, MemoryBlobs, MemoryStore, MemoryTransfers
from tests.members import Member
from tests.stored import LATER, REPORT, ROLLOUT

NESTED = b"[" * 200_000 + b"]" * 200_000
YEAR_9999 = NOON.replace(year=9999)


def damaged(good: bytes) -> dict[str, bytes]:
    """Bad records in the place of a good one."""
    return {
        "empty": b"",
        "nested": NESTED,
        "nested in a key": good.replace(b'"format": 1,', b'"format": 1, "x": ' + NESTED + b","),
        "nested in a version": b'{"format": ' + NESTED + b"}",
        "cut": good[: len(good) // 2],
        "too large": b" " * (limits.RECORD + 1),
        "no zone": re.sub(rb'(\d\d:\d\d:\d\d(\.\d+)?)Z"', rb'\1"', good),
        "year one": re.sub(rb'"\d{4}(-\d\d-\d\dT[^"]+)Z"', rb'"0001\1+14:00"', good),
        "year 9999": re.sub(rb'"\d{4}(-\d\d-\d\dT[^"]+)Z"', rb'"9999\1Z"', good),
        "half a character": good.replace(b'": "', b'": "\\ud800', 1),
        "not UTF-8": good.replace(b'": "', b'": "\xff', 1),
        "5,000 digits": good.replace(b'"format": 1', b'"format": ' + b"9" * 5000),
        "that of another": records.seal(replace(REPORT, node="web-9")),
    }


PLACES = {
    "report": keys.node_key("b"),
    "own report": keys.node_key("a"),
    "twin": keys.twin_key("a"),
    "left": keys.left_key("c"),
    "no node": keys.node_key("no node\x1b[2J"),
    "release": keys.release_key(2),
    "rollout": keys.rollout_key(2),
    "old rollout": keys.rollout_key(1),
    "far release": keys.release_key(9_999_999_999),
    "far rollout": keys.rollout_key(9_999_999_999),
    "verdict": keys.VERDICT,
    "publishing": keys.PUBLISHING,
    "inbox leader": keys.INBOX_LEADER,
    "gc lock": keys.GC_LOCK,
}
NAMED = ("report", "twin", "left", "release", "rollout", "far release", "verdict")
"""Those that `status` reads. A node writes its own report and its leases again."""


@cache
def good(place: str) -> bytes:
    """A good record of this kind; its number or its node may be another."""
    if "rollout" in place:
        return records.seal(ROLLOUT)
    if place in ("report", "own report", "twin", "left", "no node"):
        return records.seal(replace(REPORT, node="b"))
    if "release" in place:
        return serving().store.read(keys.release_key(2)).data
    if place == "verdict":
        return serving().store.read(keys.VERDICT).data
    return records.encode(Lease("another", NOON, NOON + TERM, "nonce"))


def serving() -> Member[MemoryStore]:
    """A node that serves the second of two releases."""
    node = Member(MemoryStore(), "a")
    for title in ("one", "two"):
        node.put(keys.CONFIG, f"title: {title}\n".encode())
        cycle(node, 3)
    assert node.live == 2
    return node


def cycle(node: Member[MemoryStore], times: int) -> None:
    for _ in range(times):
        node.reconciler.cycle(leads=True)
        node.store.now += timedelta(seconds=10)
        node.clock.time += timedelta(seconds=10)


def steering(store: MemoryStore) -> Steering:
    clock = FakeClock()
    return built.steering(
        store,
        built.rollouts(store, lambda: "n"),
        built.notifications(store, FakeNotifier(), lambda: None, clock),
        clock,
        MemoryTransfers(store, MemoryBlobs()),
        who="admin",
        nonce=lambda: "nonce of admin",
    )


def shown(store: MemoryStore) -> str:
    there = statuses.status(None, lambda: built.cluster(store, built.rollouts(store, str)))
    return "\n".join(clusters.lines(clusters.of(there)))


@pytest.mark.parametrize("kind", damaged(b""))
@pytest.mark.parametrize("place", PLACES)
def test_a_bad_record_hurts_nothing_but_what_it_is_about(place: str, kind: str) -> None:
    node, key = serving(), PLACES[place]
    store = node.store
    node.put(key, damaged(good(place))[kind])

    said = shown(store)
    assert "a                    release 2" in said or place == "own report"
    assert place not in NAMED or re.search(f"^Damaged: (cannot read )?{re.escape(key)} ", said, re.MULTILINE), said
    assert "\x1b" not in said

    cycle(node, 3)
    assert node.live == 2

    # A lease that cannot be read is free, and any other ends. A node that finds no verdict looks at the inbox again.
    pass_time(node, limits.LEASE)
    cycle(node, 3)
    built.collect(store, FakeClock(), dry_run=False, who="me", nonce="0123456789")

    assert steering(store).rollback(1).release == 3
    cycle(node, 5)
    assert node.live == 3, node.progress.said
    assert "a                    release 3" in shown(store)
    node.put(keys.CONFIG, b"title: four\n")
    cycle(node, 5)
    assert node.live == 4, node.progress.said


# ---- records of the right shape that are wrong


def pass_time(node: Member[MemoryStore], period: timedelta) -> None:
    node.store.now += period
    node.clock.time += period


@pytest.mark.parametrize("until", [YEAR_9999, limits.LATEST - timedelta(days=1)])
@pytest.mark.parametrize(
    ("key", "term"),
    [
        (keys.PUBLISHING, limits.SHORT_LEASE),
        (keys.INBOX_LEADER, limits.LEASE),
        (keys.GC_LOCK, limits.SHORT_LEASE),
    ],
)
def test_a_lease_ends_after_the_longest_term_that_an_agent_gives(key: str, term: timedelta, until: datetime) -> None:
    store = MemoryStore()
    lease = records.encode(Lease("another", NOON, NOON + TERM, "nonce"))
    end = f"{NOON + TERM:%Y-%m-%dT%H:%M:%SZ}".encode()
    assert end in lease
    store.write(key, lease.replace(end, f"{until:%Y-%m-%dT%H:%M:%SZ}".encode()), Always())
    if until is YEAR_9999:
        assert Reader(store).lease(key).value is None
        return
    mine = built.leases(store, holder="me", nonce="n", key=key)
    store.now += term
    assert not mine.claim()
    store.now += limits.CLOCKS
    assert mine.claim()


def test_a_store_whose_clock_is_impossible_is_unfit() -> None:
    store = MemoryStore(YEAR_9999 - timedelta(days=1))
    with pytest.raises(StoreUnfit, match=r"cannot write a lease record: `since` is not between 1970 and 2200"):
        built.leases(store, holder="me", nonce="n").claim()


def test_a_lease_that_was_written_in_the_future_is_none() -> None:
    store = MemoryStore()
    store.now += timedelta(days=1)
    store.write(keys.PUBLISHING, records.encode(Lease("another", store.now, store.now + TERM, "nonce")), Always())
    store.now = NOON
    assert built.leases(store, holder="me", nonce="n").claim()


def test_a_report_from_the_future_counts_no_more_than_an_old_one() -> None:
    store = MemoryStore()
    store.now += timedelta(days=1)
    store.write(keys.node_key("web-1"), records.seal(REPORT), Always())
    store.now = NOON
    assert built.rollouts(store, str).live() == ()
    (seen,) = built.node_statuses(store)
    assert seen.silent(NOON, SILENT)
    store.write(keys.node_key("web-1"), records.seal(REPORT), Always())
    assert built.rollouts(store, str).live() == ("web-1",)


FAR = limits.LATEST - timedelta(days=1)


@pytest.mark.parametrize(
    "change",
    [
        {"slots": (Slot("web-1", 7, "update", NOON, FAR),)},
        {"release_command": ReleaseCommandRun("web-1", FAR)},
        {"changed_at": FAR},
        {"opened_at": FAR},
        {"unhealthy": (Note("web-1", FAR, "the disk is full"),)},
        {"paused": Note("ann", FAR, "maintenance")},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_rollout_has_no_time_that_is_longer_than_a_slot_after_it_was_written(change: dict[str, object]) -> None:
    store = MemoryStore(LATER)
    store.write(keys.rollout_key(7), records.seal(ROLLOUT), Always())
    assert Reader(store).rollout(7).value == ROLLOUT
    store.write(keys.rollout_key(7), records.seal(replace(ROLLOUT, **change)), Always())  # type: ignore[arg-type]
    with pytest.raises(Corrupt, match=r"0000000007\.json in memory://store has a time that is longer than a slot"):
        Reader(store).rollout(7)


def test_a_report_that_names_a_release_far_beyond_stops_no_other_node() -> None:
    node = serving()
    store = node.store
    other = replace(REPORT, node="b", release=9_999_999_999, target=9_999_999_999)
    store.write(keys.node_key("b"), records.seal(other), Always())
    assert built.recognise(store, 2, None) == 2
    # A number that may be right is taken seriously: the store may have lost releases. The way out is named.
    store.write(keys.node_key("b"), records.seal(replace(other, release=3)), Always())
    with pytest.raises(Unreachable, match=r"b reports release 3.*if the report is wrong, remove \.agent/nodes/b\.json"):
        built.recognise(store, 2, None)


@pytest.mark.parametrize(
    ("numbers", "counted"),
    [
        ((), ()),
        ((1, 2, 3), (1, 2, 3)),
        ((3, 5001, 5002), (3, 5001, 5002)),
        ((1, 2, 9_999_999_999), (1, 2)),
        ((1, 2, 9_999_999_998, 9_999_999_999), (1, 2)),
        ((9_999_999_999,), ()),
        ((1, 1_000_001), (1, 1_000_001)),
        ((1, 1_000_002, 1_000_003), (1,)),
    ],
)
def test_a_number_far_beyond_all_others_is_none_of_the_ledger(
    numbers: tuple[int, ...], counted: tuple[int, ...]
) -> None:
    assert numbering.counted(numbers) == counted


def test_numbers_far_beyond_do_not_break_the_numbering() -> None:
    node = serving()
    for number in (9_999_999_999, 9_999_999_998, 5_000_000):
        made = replace(built.ledger(node.store).read(2), number=number)
        node.put(keys.release_key(number), records.seal(made))
    assert built.ledger(node.store).head() == 2
    assert built.ledger(node.store).top().number == 2
    assert shown(node.store).count("its number is far beyond all others. Remove it") == 3
    node.put(keys.CONFIG, b"title: three\n")
    cycle(node, 4)
    assert node.live == 3
    node.put(keys.RELEASES + "0000000000.json", b"{")
    assert built.ledger(node.store).numbers() == (1, 2, 3)


def test_a_record_that_is_damaged_behind_a_gap_does_not_hide_the_release_before() -> None:
    node = serving()
    node.put(keys.release_key(500), b"{")
    top = built.ledger(node.store).top()
    assert (top.number, top.release and top.release.number) == (500, 2)


def test_history_shows_the_rest_and_names_what_cannot_be_read() -> None:
    node = serving()
    node.put(keys.release_key(1), NESTED)
    found = statuses.history(built.ledger(node.store), 20)
    assert [release.number for release in found.releases] == [2]
    assert re.fullmatch(rf"{keys.release_key(1)} is not a valid release record: .*", found.problems[0])
