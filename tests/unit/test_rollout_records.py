"""The records of rollouts in the store, which many nodes change at once."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from da_agent.domain import records
from da_agent.domain.config.strategies import Share
from da_agent.domain.packages.wheels import Target, Wheel
from da_agent.domain.release.releases import Contents, Release
from da_agent.domain.rollout import rollouts, slots, verdicts
from da_agent.domain.rollout.rollouts import Denied, Note, Rollout, State
from da_agent.domain.store import keys
from da_agent.domain.store.blobs import blob_of
from da_agent.domain.store.inboxes import Entry
from da_agent.errors import Corrupt, NotFound, OutcomeUnknown, Unreachable
from da_agent.ports import Always, Stored
from da_agent.workflows.records.rollouts import UNANSWERED, Make
from tests import built
from tests.fakes import NOON, MemoryStore

NIGHT = Note("admin", NOON, "night")
CONFIG = b"da agent: {max unavailable: 25%, canary: 2}\n"


class World:
    """A store with releases 1 to 9 of the same contents, and two who change its records."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.serial = 0
        self.ours, self.theirs = built.rollouts(self.store, self.nonce), built.rollouts(self.store, self.nonce)
        config = blob_of(CONFIG)
        self.store.write(keys.blob_key(config), CONFIG, Always())
        self.contents = Contents(config, (), (), Target("3.11", "linux_x86_64"), ())

    def nonce(self) -> str:
        self.serial += 1
        return f"nonce-{self.serial}"

    def release(self, number: int) -> Release:
        return Release(number, "n", NOON, "admin", "push", self.contents)

    def alive(self, *nodes: str) -> None:
        for node in nodes:
            self.store.write(keys.node_key(node), b"{}", Always())

    def record(self, number: int) -> Rollout:
        return records.unseal(Rollout, self.store.read(keys.rollout_key(number)).data, "")


@pytest.fixture
def world() -> World:
    return World()


def claim(node: str, target: int = 1) -> Make:
    return lambda record, nodes, now: slots.claim(
        record, node, target, nodes.lately, now=now, reason="update", joining=False
    )


def test_a_record_has_the_policy_of_its_release(world: World) -> None:
    opened = world.ours.open(1, world.release(1))
    assert opened.strategy.max_unavailable == Share(25, percent=True)
    assert (opened.strategy.canary, opened.state) == (2, State.OPEN)


def test_docassemble_creates_its_tables_once_and_others_what_they_are_told(world: World) -> None:
    assert world.ours.open(1, world.release(1)).strategy.release_command == ()
    wheel = Wheel("docassemble-webapp", "1.0", "docassemble_webapp-1.0-py3-none-any.whl", blob_of(b""))
    release = replace(world.release(2), contents=replace(world.contents, wheels=(wheel,)))
    assert world.ours.open(2, release).strategy.release_command == ("python -m docassemble.webapp.create_tables",)


def test_however_many_open_a_record_there_is_one(world: World) -> None:
    def faster(key: str) -> None:
        world.store.before_write = lambda _: None
        world.theirs.open(1, world.release(1))

    world.store.before_write = faster
    assert world.ours.open(1, world.release(1)) == world.record(1)
    assert world.serial == 2


def test_a_newer_release_closes_the_record_before_and_takes_over_its_turns(world: World) -> None:
    world.alive("web-1")
    world.ours.open(1, world.release(1))
    world.ours.change(1, claim("web-1"), node="web-1")
    newer = world.ours.open(2, world.release(2))
    assert world.record(1).closed
    assert [slot.node for slot in newer.slots] == ["web-1"]


def test_a_release_that_nobody_has_opened_is_opened_closed(world: World) -> None:
    world.ours.open(1, world.release(1))
    world.ours.open(4, world.release(4))
    assert [world.record(number).closed for number in (1, 2, 3, 4)] == [True, True, True, False]
    assert world.theirs.open(3, world.release(3)).closed


def test_a_change_is_made_anew_when_somebody_was_faster(world: World) -> None:
    world.ours.open(1, world.release(1))

    def faster(key: str) -> None:
        world.store.before_write = lambda _: None
        note = Note("admin", NOON, "maintenance")
        world.theirs.change(1, lambda record, _live, _now: rollouts.pause(record, note))

    world.store.before_write = faster
    record, denied = world.ours.change(1, claim("web-1"), node="web-1")
    assert denied == Denied("paused by admin: maintenance")
    assert record == world.record(1)


def test_whoever_is_forestalled_again_and_again_leaves_the_record_to_others_for_longer_each_time(world: World) -> None:
    waits: list[int] = []
    slow = built.rollouts(world.store, world.nonce, waits.append)
    slow.open(1, world.release(1))

    def faster(key: str) -> None:
        world.store.before_write = lambda _: None
        world.theirs.change(1, lambda record, *_: replace(record, changed_at=record.changed_at + timedelta(seconds=1)))
        world.store.before_write = faster if len(waits) < 3 else lambda _: None

    world.store.before_write = faster
    slow.change(1, lambda record, *_: rollouts.pause(record, NIGHT))
    assert waits == [1, 2, 3, 4]
    assert world.record(1).paused is not None


@pytest.mark.parametrize("happened", [True, False])
def test_after_a_write_without_an_answer_the_nonce_tells(world: World, happened: bool) -> None:
    world.ours.open(1, world.release(1))

    def doubt(_: str) -> None:
        world.store.before_write = world.store.after_write = lambda _: None
        raise OutcomeUnknown("no answer")

    if happened:
        world.store.after_write = doubt
    else:
        world.store.before_write = doubt
    record, denied = world.ours.change(1, claim("web-1"), node="web-1")
    assert denied is None
    assert record == world.record(1)
    assert record.generation == 2


@pytest.mark.parametrize("unanswered", [UNANSWERED - 1, UNANSWERED])
def test_a_write_that_the_store_does_not_answer_is_repeated_and_is_no_lost_race(world: World, unanswered: int) -> None:
    waits: list[int] = []
    ours = built.rollouts(world.store, world.nonce, waits.append)
    ours.open(1, world.release(1))
    made: list[Rollout] = []

    def no_answer(_: str) -> None:
        if len(waits) < unanswered:
            raise OutcomeUnknown("no answer")

    def pause(record: Rollout, *_: object) -> Rollout:
        made.append(record)
        return rollouts.pause(record, NIGHT)

    world.store.before_write = no_answer
    if unanswered < UNANSWERED:
        assert ours.change(1, pause)[0] == world.record(1)
    else:
        with pytest.raises(OutcomeUnknown, match="no answer"):
            ours.change(1, pause)
        assert world.record(1).paused is None
    assert len(made) == 1
    assert waits == list(range(1, unanswered + 1))


def test_an_unanswered_write_that_happens_late_is_found_to_be_our_own(world: World) -> None:
    world.ours.open(1, world.release(1))
    late: list[bytes] = []

    def hold(key: str) -> None:
        if late:
            # The held write arrives just before its repetition.
            world.store.before_write = lambda _: None
            world.store.write(key, late[0], Always())
            return
        late.append(records.seal(replace(world.record(1), generation=2, nonce="late", paused=NIGHT, changed_at=NOON)))
        raise OutcomeUnknown("no answer")

    nonces = iter(["late"])
    ours = built.rollouts(world.store, lambda: next(nonces))
    world.store.before_write = hold
    record, _ = ours.change(1, lambda record, *_: rollouts.pause(record, NIGHT))
    assert record == world.record(1)
    assert record.nonce == "late"


def test_two_records_never_have_equal_bytes(world: World) -> None:
    """A stale swap could succeed if they had: equal bodies have equal tags."""
    world.ours.open(1, world.release(1))
    first = world.record(1)
    world.ours.change(1, claim("web-1"), node="web-1")
    world.ours.change(1, lambda record, _, now: slots.give_back(record, "web-1", now=now))
    assert world.record(1) != first
    assert world.record(1).slots == first.slots


def test_the_way_back_is_to_the_newest_stable_release(world: World) -> None:
    for number in range(1, 5):
        world.ours.open(number, world.release(number))
        if number == 1:
            world.ours.change(
                1, lambda record, nodes, now: verdicts.updated(record, "web-1", nodes.lately, now=now), node="web-1"
            )
    assert world.ours.fallback(4) == 1
    assert world.ours.fallback(1) is None


def test_without_a_stable_release_the_newest_that_is_not_bad_will_do(world: World) -> None:
    for number in range(1, 4):
        world.ours.open(number, world.release(number))
    assert world.ours.fallback(3) == 2


class Counting(MemoryStore):
    """Counts what is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = self.scans = 0

    def read(self, key: str) -> Stored:
        self.reads += 1
        return super().read(key)

    def scan(self, prefix: str, after: str = "") -> Iterator[Entry]:
        self.scans += 1
        return super().scan(prefix, after)


def proven_then_bad(world: World, bad: int, *, knowing: bool = True) -> int:
    """Release 1 is stable, and so many after it are bad: the number of the newest."""
    for number in range(1, bad + 2):
        record = world.ours.open(number, None)
        state = State.STABLE if number == 1 else State.QUARANTINED
        record = replace(record, state=state, past=record.past if knowing else None)
        world.store.write(keys.rollout_key(number), records.seal(record), Always())
    return bad + 1


def test_behind_any_number_of_bad_releases_the_way_back_is_found_with_one_request() -> None:
    world, store = World(), Counting()
    world.store, world.ours = store, built.rollouts(store, world.nonce)
    newest = proven_then_bad(world, 40)
    store.reads = store.scans = 0
    assert world.ours.fallback(newest) == 1
    assert (store.reads, store.scans) == (1, 0)
    assert world.ours.way_back(world.record(newest)) == 1
    assert (store.reads, store.scans) == (2, 0), "the second one is the test's own"


def test_the_way_back_is_found_among_records_that_older_agents_have_opened(world: World) -> None:
    newest = proven_then_bad(world, 40, knowing=False)
    assert world.ours.fallback(newest) == 1
    assert world.ours.open(newest + 1, None).past is None
    assert world.ours.fallback(newest + 1) == 1


@pytest.mark.parametrize(
    ("skip", "back"),
    [
        pytest.param({5}, 3, id="nothing to do with it"),
        pytest.param({3}, 1, id="an older stable one"),
        pytest.param({1, 3}, 4, id="no stable one, but one that is not bad"),
        pytest.param({1, 3, 4}, 3, id="nothing else"),
    ],
)
def test_a_release_that_the_node_has_rejected_is_no_way_back_while_there_is_another(
    world: World, skip: set[int], back: int
) -> None:
    states = (State.STABLE, State.QUARANTINED, State.STABLE, State.OPEN, State.QUARANTINED)
    for number, state in enumerate(states, 1):
        record = replace(world.ours.open(number, None), state=state)
        world.store.write(keys.rollout_key(number), records.seal(record), Always())
    assert world.ours.way_back(world.record(5), frozenset(skip)) == back


def test_a_damaged_record_does_not_hide_what_is_behind_it(world: World) -> None:
    newest = proven_then_bad(world, 3)
    world.store.write(keys.rollout_key(newest), b"{", Always())
    assert world.ours.fallback(newest) == 1
    assert world.ours.open(newest + 1, None).past == rollouts.Past(1, None, 1, bad=(2, 3))


def test_what_was_open_is_closed_however_many_releases_nobody_has_opened(world: World) -> None:
    world.ours.open(1, world.release(1))
    world.ours.open(40, world.release(40))
    assert world.record(1).closed
    assert world.ours.fallback(40) == 39


def test_a_damaged_record_is_named(world: World) -> None:
    world.ours.open(1, world.release(1))
    world.store.write(keys.rollout_key(1), b'{"release": 1', Always())
    with pytest.raises(Corrupt, match=r"\.agent/rollouts/0000000001\.json is not a valid rollout record"):
        world.ours.change(1, claim("web-1"))


def test_a_record_under_another_number_is_refused(world: World) -> None:
    world.ours.open(1, world.release(1))
    world.store.write(keys.rollout_key(2), world.store.read(keys.rollout_key(1)).data, Always())
    with pytest.raises(Corrupt, match="the rollout of release 1"):
        world.ours.read(2)


def test_no_record_and_no_answer_are_two_things(world: World) -> None:
    with pytest.raises(NotFound):
        world.ours.change(1, claim("web-1"))
    world.store.failing = Unreachable("no answer")
    with pytest.raises(Unreachable):
        world.ours.open(1, world.release(1))


def test_no_byte_of_a_record_can_be_altered_unnoticed(world: World) -> None:
    world.ours.open(1, world.release(1))
    data = world.store.read(keys.rollout_key(1)).data
    for place, byte in enumerate(data):
        world.store.write(keys.rollout_key(1), data[:place] + bytes([byte ^ 1]) + data[place + 1 :], Always())
        with pytest.raises(Corrupt, match=keys.rollout_key(1)):
            world.ours.read(1)
