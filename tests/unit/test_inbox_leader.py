"""One node looks at the inbox for all."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from da_agent.domain.node.inbox_leader import ASIDE, ASK, EVERY, TRUST, Judged, Leadership, Unable, term
from da_agent.domain.store import keys, polls
from da_agent.domain.store.inboxes import Entry
from da_agent.errors import Conflict, NotHere, Unreachable
from da_agent.ports import Condition, Stored
from da_agent.workflows.records.leases import Leases
from tests import built
from tests.fake_nodes import wheel
from tests.fakes import NOON, MemoryStore
from tests.members import Member

SECOND = timedelta(seconds=1)
POLL = timedelta(seconds=10)
TAKE_OVER = int((term(POLL) + ASK) / POLL)
"""Polls after which a dead holder has a successor."""


@pytest.mark.parametrize(
    ("part", "asks"),
    [
        pytest.param(Leadership(), True, id="never asked"),
        pytest.param(Leadership(asked_at=NOON - ASK + SECOND), False, id="asked just now"),
        pytest.param(Leadership(has=True, asked_at=NOON - ASK + SECOND), False, id="has it since just now"),
        pytest.param(Leadership(has=True, asked_at=NOON - ASK), True, id="to be renewed"),
        pytest.param(Leadership(asked_at=NOON + SECOND), True, id="the clock was set back"),
        pytest.param(Leadership(unable=Unable("f", NOON - SECOND, "why"), yields=True), False, id="others shall try"),
        pytest.param(
            Leadership(unable=Unable("f", NOON - ASIDE, "why"), yields=True), True, id="others have had their time"
        ),
    ],
)
def test_a_node_asks_for_the_inbox_leader_now_and_then(part: Leadership, asks: bool) -> None:
    assert part.asks(NOON) is asks


@pytest.mark.parametrize(
    ("part", "urgent", "looks"),
    [
        pytest.param(Leadership(polls=99), False, False, id="without the inbox lease"),
        pytest.param(Leadership(polls=1), True, True, id="without the inbox lease, woken"),
        pytest.param(Leadership(pending=True), False, True, id="without the inbox lease, and something is left to do"),
        pytest.param(Leadership(has=True, polls=EVERY - 1), False, False, id="looked a moment ago"),
        pytest.param(Leadership(has=True, polls=EVERY), False, True, id="time to look"),
        pytest.param(Leadership(has=True, polls=0), True, True, id="woken"),
    ],
)
def test_who_has_the_inbox_leader_looks_with_every_second_poll(part: Leadership, urgent: bool, looks: bool) -> None:
    assert part.looks(urgent=urgent) is looks


@pytest.mark.parametrize(
    ("fingerprint", "head", "age", "covers"),
    [
        ("f", 7, timedelta(), True),
        ("g", 7, timedelta(), False),
        ("f", 8, timedelta(), False),
        ("f", 7, TRUST, False),
        ("f", 7, -SECOND, False),
    ],
)
def test_a_known_verdict_is_believed_until_something_moves(
    fingerprint: str, head: int, age: timedelta, covers: bool
) -> None:
    assert Judged("f", 7, NOON).covers(fingerprint, head, now=NOON + age) is covers


def test_polls_keep_apart() -> None:
    assert [polls.pause(POLL, chance, together=False) for chance in (0, 0.5, 1)] == [9 * SECOND, POLL, 11 * SECOND]
    assert [polls.pause(POLL, chance, together=True) for chance in (0, 0.5, 1)] == [0 * SECOND, POLL / 2, POLL]


class CountingStore(MemoryStore):
    """Remembers what it is asked, as S3 would be."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def read(self, key: str) -> Stored:
        self.asked.append(f"GET {key}")
        return super().read(key)

    def write(self, key: str, body: object, when: Condition) -> str:
        self.asked.append(f"PUT {key}")
        return super().write(key, body, when)  # type: ignore[arg-type]

    def scan(self, prefix: str, after: str = "") -> Iterator[Entry]:
        self.asked.append(f"LIST {prefix}")
        return super().scan(prefix, after)

    def restore(self, key: str, stored: Stored) -> None:
        """The very bytes that were there before."""
        self._objects[key] = stored

    def times(self, request: str) -> int:
        return sum(each.startswith(request) for each in self.asked)


def serving(store: CountingStore | None = None, name: str = "a") -> Member[CountingStore]:
    node = Member(store or CountingStore(), name)
    assert node.reconciler.until_serving() is None
    return node


def lease(node: Member[CountingStore], holder: str = "somebody") -> Leases:
    return built.leases(node.store, holder=holder, nonce=holder, key=keys.INBOX_LEADER)


def keep(watch: Leases) -> None:
    assert watch.claim(term(POLL))


def test_a_node_without_the_inbox_leader_asks_for_the_next_release_and_nothing_else() -> None:
    node = serving()
    somebody = lease(node)
    keep(somebody)

    def renew(number: int) -> None:
        keep(somebody)
        if number == 1:
            # With its first poll it looks at everything.
            node.store.asked.clear()

    node.run(31, renew)
    asked = [each for each in node.store.asked if each != f"PUT {keys.INBOX_LEADER}"]
    assert asked.count(f"GET {keys.release_key(2)}") == 30
    assert asked.count(f"GET {keys.INBOX_LEADER}") <= 30 * POLL / ASK
    assert asked.count(f"PUT {keys.node_key('a')}") <= 30 * POLL / ASK
    assert {each.split("/")[1] for each in asked} == {"releases", "inbox-leader.json", "nodes", "rollouts"}
    assert asked.count(f"GET {keys.rollout_key(1)}") <= 30 * POLL / ASK


def test_the_node_with_the_inbox_leader_lists_the_inbox_with_every_second_poll_and_knows_the_verdict() -> None:
    node = serving()
    node.store.asked.clear()
    node.run(60)
    assert node.store.times(f"GET {keys.release_key(2)}") == 60
    assert node.store.times(f"LIST {keys.PACKAGES}") == 30
    assert node.store.times(f"GET {keys.VERDICT}") <= 3
    # When it begins and when it ends.
    assert node.store.times(f"GET {keys.INBOX_LEADER}") == 2
    assert node.store.times(f"PUT {keys.INBOX_LEADER}") <= 60 * POLL / ASK + 2


def test_a_change_by_plain_tools_is_published_within_two_polls() -> None:
    node = serving()
    node.run(9, lambda number: node.put("config.yml", b"name: b\n") if number == 6 else None)
    assert node.live == 2


def test_a_node_without_the_inbox_leader_that_is_woken_looks_at_once() -> None:
    node = serving()
    keep(lease(node))

    def change(number: int) -> None:
        if number == 3:
            node.put("config.yml", b"name: b\n")
        if number == 4:
            assert node.live == 1
            node.clock.wake()

    node.run(5, change)
    assert node.live == 2


def test_the_inbox_leader_of_a_dead_node_passes_on() -> None:
    node = serving()
    keep(lease(node, "dead"))
    node.run(TAKE_OVER + EVERY + 2, lambda number: node.put("config.yml", b"name: b\n") if number == 2 else None)
    assert node.live == 2


def test_a_node_that_ends_leaves_the_inbox_leader_to_others_and_one_without_an_answer_ends_at_once() -> None:
    node = serving()
    node.run(3)
    assert lease(node).claim(SECOND)
    node.store.now += SECOND
    node.begin()
    node.run(3, lambda number: setattr(node.store, "failing", Unreachable("no answer") if number == 2 else None))
    node.store.failing = None
    assert not lease(node).claim()


def test_a_node_that_cannot_publish_hands_the_inbox_leader_over_and_tries_again_when_nobody_could() -> None:
    node = serving()
    node.resolver.error = NotHere("no index")

    def change(number: int) -> None:
        if number == 2:
            node.put("packages/requirements.txt", b"six\n")
        if number == 5:
            assert lease(node).claim(SECOND)
            assert len(node.resolver.resolved) == 1

    node.run(5 + int(ASIDE / POLL), change)
    assert len(node.resolver.resolved) == 2


def test_what_one_node_cannot_publish_another_does() -> None:
    unable = serving()
    unable.resolver.error = NotHere("no index")
    able = serving(unable.store, "b")
    able.put(keys.blob_key(wheel("six").blob), b"six 1")

    def change(number: int) -> None:
        if number == 2:
            unable.put("packages/requirements.txt", b"six\n")
        if number == 5:
            able.run(2)

    unable.run(7, change)
    able.run(2)
    assert (unable.live, able.live) == (2, 2)


def test_a_mended_inbox_is_tried_at_once_by_the_node_that_could_not_publish_the_last_one() -> None:
    node = serving()
    node.resolver.error = NotHere("no index")

    def change(number: int) -> None:
        if number == 2:
            node.put("packages/requirements.txt", b"six\n")
        if number == 5:
            node.put("packages/requirements.txt", b"")

    node.run(7, change)
    verdict = built.inboxes(node.store).verdict()
    assert verdict is not None
    assert (verdict.fingerprint, verdict.mistakes) == (built.inboxes(node.store).list().fingerprint, ())


def test_an_old_file_that_is_put_back_between_two_looks_is_published() -> None:
    node = serving()
    old = node.store.read("config.yml")
    rival = Member(node.store, "b")

    def change(number: int) -> None:
        if number == 4:
            node.put("config.yml", b"name: b\n")
            rival.reconciler.cycle()
            # An equal file has an equal tag on S3.
            node.store.restore("config.yml", old)

    node.run(8, change)
    assert built.ledger(node.store).head() == 3
    assert built.ledger(node.store).read(3).contents == built.ledger(node.store).read(1).contents


def test_a_lease_is_renewed_with_one_request_and_lost_to_whoever_took_it() -> None:
    node = serving()
    mine, other = lease(node, "me"), lease(node, "other")
    keep(mine)
    node.store.asked.clear()
    keep(mine)
    assert node.store.asked == [f"PUT {keys.INBOX_LEADER}"]
    node.store.now += term(POLL)
    keep(other)
    assert not mine.claim(term(POLL))
    node.store.before_write = lambda key: (_ for _ in ()).throw(Conflict("faster"))
    node.store.now += term(POLL)
    assert not mine.claim(term(POLL))
