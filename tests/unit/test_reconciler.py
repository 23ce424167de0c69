"""The loop of a node, and several nodes on one store."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from da_agent import ports
from da_agent.domain.config.settings import Settings
from da_agent.domain.node.cycles import SOON
from da_agent.domain.node.heartbeats import HEARTBEAT, Told
from da_agent.domain.node.node_states import NodeState
from da_agent.domain.node.reports import Phase, Report
from da_agent.domain.node.targets import RETRY_REJECTED
from da_agent.domain.release.releases import Release
from da_agent.domain.rollout import rollouts
from da_agent.domain.rollout.drains import NOTICE
from da_agent.domain.rollout.rollouts import Note, State
from da_agent.domain.store import keys
from da_agent.domain.store.blobs import blob_of
from da_agent.domain.store.inboxes import Entry
from da_agent.errors import NotHere, Stopped, StoreUnfit, TimedOut, Unreachable
from tests import built
from tests.fake_nodes import wheel
from tests.fakes import FakeLock, FakeNotifier, MemoryBlobs, MemoryStore, MemoryTransfers, NoDeadline, T
from tests.members import Member


def member(name: str = "a", store: MemoryStore | None = None) -> Member[MemoryStore]:
    return Member(store or MemoryStore(), name)


def serving() -> Member[MemoryStore]:
    node = member()
    assert node.reconciler.until_serving() is None
    assert node.live == 1
    return node


def test_an_empty_node_and_an_empty_store_make_the_first_release() -> None:
    node = serving()
    assert node.store.read("config.yml").data == b"name: a\n"
    assert node.node_states.node_state == NodeState(live=1)


def test_many_nodes_on_an_empty_store_make_one_release() -> None:
    store = MemoryStore()
    nodes = [member(f"n{number}", store) for number in range(8)]
    for node in nodes:
        node.reconciler.cycle()
    for node in nodes:
        node.reconciler.cycle()
    assert built.ledger(store).head() == 1
    assert {node.live for node in nodes} == {1}


def test_a_change_of_the_inbox_is_published_and_served() -> None:
    node = serving()
    node.put("config.yml", b"name: b\n")
    assert node.reconciler.cycle() is None
    assert node.live == 2


def test_a_refused_inbox_changes_nothing_and_is_judged_once() -> None:
    node = serving()
    node.put("config.yml", b"name: b\nname: c\n")
    node.reconciler.cycle()
    said = len(node.progress.said)
    node.reconciler.cycle()
    assert node.live == 1
    assert len(node.progress.said) == said
    verdict = built.inboxes(node.store).verdict()
    assert verdict is not None
    assert "line 2" in verdict.mistakes[0]


def test_an_unreachable_store_is_said_and_the_node_goes_on_serving() -> None:
    node = serving()
    heard = node.contact.times
    node.store.failing = Unreachable("no answer")
    problem = node.reconciler.cycle()
    assert problem is not None
    assert "no answer" in problem
    assert "last answer" in problem
    assert node.contact.times == heard
    assert set(node.web.workers_.values()) == {1}
    node.store.failing = None
    node.put("config.yml", b"name: b\n")
    assert node.reconciler.cycle() is None
    assert node.live == 2


def test_a_node_starts_on_its_last_stable_release_when_the_store_is_away() -> None:
    node = serving()
    node.web.up, node.web.workers_ = False, {}
    node.store.failing = Unreachable("no answer")
    assert node.begin().until_serving() is not None
    assert set(node.web.workers_.values()) == {1}


def test_nobody_is_kept_out_of_service_by_a_report() -> None:
    node = serving()
    asked: list[Phase] = []

    class Deadline(NoDeadline):
        def __call__(self, question: Callable[[], T]) -> T:
            told = node.reconciler._reporting._told
            asked.append(Phase.STARTING if told is None else told.report.phase)
            return question()

    node.deadline = Deadline()
    node.put("config.yml", b"name: b\n")
    assert node.begin().until_serving() is None
    assert node.live == 2
    assert asked[-2:] == [Phase.SWITCHING, Phase.PROBATION]


def test_a_node_that_was_off_does_not_start_what_has_been_quarantined_meanwhile() -> None:
    node = serving()
    node.put("config.yml", b"name: b\n")
    node.reconciler.cycle()
    assert node.live == 2
    built.rollouts(node.store, lambda: "n").change(2, lambda record, *_: replace(record, state=State.QUARANTINED))
    node.web.up, node.web.workers_ = False, {}
    started: list[int | None] = []
    node.web.power.on["start"] = lambda: started.append(node.live)
    assert node.begin().until_serving() is None
    assert (started, node.live) == ([1], 1)


def test_a_node_that_was_off_starts_what_it_has_before_it_takes_what_is_new() -> None:
    node = serving()
    node.put("config.yml", b"name: b\n")
    other = member("b", node.store)
    assert other.reconciler.until_serving() is None
    built.rollouts(node.store, lambda: "n").change(2, lambda record, *_: replace(record, state=State.STABLE))
    node.web.up, node.web.workers_ = False, {}
    started: list[int | None] = []
    node.web.power.on["start"] = lambda: started.append(node.live)
    assert node.begin().until_serving() is None
    assert (started, node.live) == ([1], 2)


def test_a_store_that_is_not_fit_is_not_used() -> None:
    node = member()

    def admit() -> None:
        raise StoreUnfit("it ignores conditions")

    node.admit = admit  # type: ignore[method-assign]
    assert node.begin().until_serving() == "it ignores conditions (last answer of the store: never)"
    assert list(node.store.scan("")) == []


def test_an_empty_store_where_a_ledger_was_is_not_a_new_cluster() -> None:
    node = serving()
    for entry in list(node.store.scan("")):
        node.store.delete(entry.key)
    problem = node.begin().cycle()
    assert problem is not None
    assert "Mount the store" in problem
    assert node.live == 1
    assert not any(entry.key == keys.CONFIG for entry in node.store.scan(""))


def test_a_store_that_has_lost_releases_is_not_followed_backwards() -> None:
    node = serving()
    node.put("config.yml", b"name: b\n")
    node.reconciler.cycle()
    node.store.delete(keys.release_key(2))
    problem = node.begin().cycle()
    assert problem is not None
    assert "releases up to 1" in problem
    assert node.live == 2


def test_what_cannot_be_resolved_here_is_left_to_others_for_a_while() -> None:
    node = serving()
    node.resolver.error = NotHere("no index")
    node.put("packages/requirements.txt", b"six\n")
    for _ in range(3):
        problem = node.reconciler.cycle()
        assert problem is not None
        assert "no index" in problem
    assert len(node.resolver.resolved) == 1
    assert node.live == 1
    node.put(keys.blob_key(wheel("six").blob), b"six 1")
    other = member("b", node.store)
    for each in (other, node, other):
        each.reconciler.cycle()
    assert (node.live, other.live) == (2, 2)


def test_a_release_that_fails_everywhere_is_quarantined_and_not_tried_again_until_it_is_pardoned() -> None:
    node = serving()
    node.web.unfit.add(2)
    node.put("config.yml", b"name: b\n")
    node.reconciler.cycle()
    node.reconciler.cycle()
    seen = next(built.node_statuses(node.store))
    assert (seen.report.release, seen.report.rejected[0].release) == (1, 2)
    assert "release 2 is rejected here" in (seen.report.problem or "")
    node.web.unfit.clear()
    assert node.begin().update(timedelta()) is None
    assert node.live == 1
    retry = Note("admin", node.store.now, "the database is back")
    rollout, _ = built.rollouts(node.store, lambda: "n").change(2, lambda record, *_: rollouts.retry(record, retry))
    assert rollout.state is State.OPEN
    node.reconciler.cycle()
    assert node.live == 2


def test_behind_a_newer_release_that_is_paused_a_quarantined_one_is_left_all_the_same() -> None:
    node = serving()
    records = built.rollouts(node.store, lambda: "n")
    node.put("config.yml", b"name: b\n")
    node.reconciler.cycle()
    assert node.live == 2
    records.change(2, lambda record, *_: replace(record, state=State.QUARANTINED))
    node.put("config.yml", b"name: c\n")
    member("b", node.store).reconciler._look(urgent=True, leads=False)
    records.change(3, lambda record, *_: rollouts.pause(record, Note("admin", node.store.now, "a look first")))
    node.reconciler.cycle()
    assert (node.live, set(node.web.workers_.values())) == (1, {1})


def test_a_release_that_failed_here_alone_is_tried_again_when_somebody_asks() -> None:
    node = serving()
    others = [member(name, node.store) for name in ("b", "c")]
    node.web.unfit.add(2)
    node.put("config.yml", b"name: b\n")
    for each in (*others, node, *others, *others):
        each.reconciler.cycle()
    assert [each.live for each in (node, *others)] == [1, 2, 2]
    node.web.unfit.clear()
    assert node.begin().update(timedelta()) is None
    assert node.live == 2


def test_an_update_says_that_another_process_is_at_work_and_that_it_has_therefore_done_nothing() -> None:
    node = serving()
    lock = FakeLock()
    reconciler = node.begin()
    reconciler._lock = lock
    node.put("config.yml", b"name: b\n")

    def begin(key: str) -> None:
        """Between the first look and the converging."""
        lock.holder = "sync" if key == keys.release_key(2) else lock.holder

    node.store.before_write = begin
    assert reconciler.update(timedelta(seconds=3)) == "cannot start: sync holds the lock of this node"
    assert node.live == 1
    lock.holder = None
    assert reconciler.update(timedelta(seconds=3)) is None
    assert node.live == 2


def test_an_update_says_that_the_release_was_given_up_again() -> None:
    node = serving()
    other = member("b", node.store)
    other.reconciler.cycle()
    node.web.unfit.add(2)
    node.put("config.yml", b"name: b\n")
    other.reconciler.cycle()
    problem = node.begin().update(timedelta())
    assert problem is not None
    assert "release 2 is rejected here: the application cannot be imported" in problem


def suspended(node: Member[MemoryStore], *, damaged: bool) -> None:
    """For ten days, in which others make thirty releases, and what nobody needs is collected."""
    clock, store = node.clock, node.store
    steering = built.steering(
        store,
        built.rollouts(store, lambda: "n"),
        built.notifications(store, FakeNotifier(), lambda: None, clock),
        clock,
        MemoryTransfers(store, MemoryBlobs()),
        who="x",
        nonce=iter(map(str, range(100))).__next__,
    )
    for _ in range(30):
        store.now += timedelta(hours=8)
        steering.restart("again")
    clock.time += timedelta(hours=240)
    collected = built.collect(store, clock, dry_run=False, who="x", nonce="0123456789").releases
    assert set(range(2, 20)) <= set(collected)
    if damaged:
        node.put(keys.release_key(31), b"{}")


@pytest.mark.parametrize("damaged", [False, True])
def test_a_node_that_was_suspended_for_days_finds_the_newest_release_although_the_next_has_been_collected(
    damaged: bool,
) -> None:
    node = serving()
    suspended(node, damaged=damaged)
    for _ in range(3):
        node.reconciler.cycle()
    assert node.live == (1 if damaged else 31)
    assert node.web.up
    node.put("config.yml", b"name: b\n")
    node.reconciler.cycle()
    assert node.live == 32


@pytest.mark.parametrize("away_at", [None, 30], ids=["the store answers", "the store is away in between"])
def test_a_node_that_has_just_started_waits_a_minute_for_those_whose_reports_are_old(away_at: int | None) -> None:
    node = serving()
    other = member("b", node.store)
    for each in (other, node, other):
        each.reconciler.cycle()
    node.store.now += timedelta(hours=1)
    node.begin()
    node.put("config.yml", b"name: b\n")
    seconds, state = 0, State.OPEN
    while state is State.OPEN:
        node.store.failing = Unreachable("no answer") if seconds == away_at else None
        node.reconciler.cycle(urgent=seconds == 0)
        node.store.failing = None
        record = built.rollouts(node.store, lambda: "n").read(2)
        state = record.state if record is not None else State.OPEN
        seconds += 10
        node.clock.time += timedelta(seconds=10)
        node.store.now += timedelta(seconds=10)
    assert state is State.STABLE
    first = 60 if away_at is None else away_at + 10 + 60
    assert first <= seconds <= first + 40


@pytest.mark.parametrize("gone", [True, False], ids=["the next one is gone", "nothing has come"])
def test_a_record_that_is_closed_although_nothing_comes_next_makes_a_node_list_once(gone: bool) -> None:
    node = serving()
    built.rollouts(node.store, lambda: "n").open(4, None)
    if gone:
        built.ledger(node.store).append(replace(built.ledger(node.store).read(1), number=4))
    listed: list[str] = []
    scan = node.store.scan

    def count(prefix: str, after: str = "") -> Iterator[Entry]:
        listed.extend([prefix] if prefix == keys.RELEASES else [])
        return scan(prefix, after)

    node.store.scan = count  # type: ignore[method-assign]
    node.clock.time += rollouts.READ_PERIOD
    for _ in range(5):
        node.reconciler.cycle(urgent=False)
    assert listed == [keys.RELEASES]
    assert node.live == (4 if gone else 1)


def waiting() -> tuple[Member[MemoryStore], Callable[[float], list[str]]]:
    """A node that waits in a paused rollout while another one has the inbox lease; and its poll after so many seconds,
    which tells what it reads of the ledger and of records."""
    first = serving()
    store = first.store
    node = member("b", store)
    first.run(1)
    assert node.reconciler.until_serving() is None
    built.rollouts(store, lambda: "p").change(
        1, lambda record, *_: rollouts.pause(record, Note("x", store.now, "night"))
    )
    first.put("config.yml", b"name: b\n")
    first.reconciler.cycle()
    node.reconciler.cycle()
    read: list[str] = []
    honest = store.read

    def note(key: str) -> ports.Stored:
        read.extend([key] if key.startswith((keys.RELEASES, keys.ROLLOUTS)) else [])
        return honest(key)

    def poll(seconds: float) -> list[str]:
        store.now += timedelta(seconds=seconds)
        node.clock.time += timedelta(seconds=seconds)
        read.clear()
        assert node.reconciler.cycle(urgent=False) is None
        return list(read)

    store.read = note  # type: ignore[method-assign]
    return node, poll


def test_in_a_rollout_a_poll_is_one_get_of_its_record_and_of_the_ledger_after_a_while() -> None:
    _, poll = waiting()
    ledger, record = keys.release_key(3), keys.rollout_key(2)
    assert [poll(5) for _ in range(5)] == [[record]] * 5
    assert poll(5) == [ledger, record]
    assert poll(5) == [record]


def test_whoever_appends_is_heard_of_with_the_next_poll_of_the_record() -> None:
    node, poll = waiting()
    assert poll(5) == [keys.rollout_key(2)]
    release = replace(built.ledger(node.store).read(1), number=3, nonce="three")
    built.ledger(node.store).append(release)
    built.rollouts(node.store, lambda: "three").announce(release)
    ledger = [keys.release_key(each) for each in (3, 4, 3)]
    assert poll(5)[:5] == [keys.rollout_key(2), *ledger, keys.rollout_key(3)]
    assert node.reconciler._poller._view.head == 3


def test_an_append_that_nobody_has_announced_is_found_in_the_ledger() -> None:
    node, poll = waiting()
    built.ledger(node.store).append(replace(built.ledger(node.store).read(1), number=3, nonce="three"))
    assert poll(5) == [keys.rollout_key(2)]
    assert keys.release_key(3) in poll(30)


def test_a_release_of_a_newer_agent_is_left_alone_and_its_rollout_is_not_opened() -> None:
    node = serving()
    head = built.ledger(node.store).head()
    assert head is not None
    newer = node.store.read(keys.release_key(head)).data.replace(b'"format": 1', b'"format": 2')
    node.store.write(keys.release_key(head + 1), newer, ports.Always())
    problem = node.reconciler.cycle()
    assert problem is not None
    assert f"{head + 1:010d}.json: it has format 2" in problem
    assert "Update da_agent on this node" in problem
    assert node.live == head
    assert built.rollouts(node.store, lambda: "n").read(head + 1) is None


def test_whoever_has_the_inbox_leader_asks_the_ledger_with_each_poll() -> None:
    node, poll = waiting()
    leader = node.reconciler._inbox_leader
    leader._leadership = replace(leader._leadership, has=True)
    assert [poll(5) for _ in range(3)] == [[keys.release_key(3), keys.rollout_key(2)]] * 3


def test_whom_a_node_waits_for_is_told_with_its_heartbeat_alone() -> None:
    node, poll = waiting()
    poll(HEARTBEAT.total_seconds())
    sent: list[str] = []
    node.store.before_write = sent.append
    records = built.rollouts(node.store, iter(map(str, range(100))).__next__)
    for name in "cdefg":
        note = Note(name, node.store.now, "another night")
        records.change(2, lambda record, *_, note=note: rollouts.pause(record, note))
        poll(1)
    assert keys.node_key("b") not in sent
    poll(HEARTBEAT.total_seconds())
    node.reconciler.beat()
    assert sent.count(keys.node_key("b")) == 1
    waits = {seen.report.node: seen.report.waiting for seen in built.node_statuses(node.store)}
    assert waits["b"] == "paused by g: another night"


def test_a_record_that_is_damaged_is_an_answer_of_the_store_all_the_same() -> None:
    node, _ = waiting()
    node.put(keys.rollout_key(2), b"{}")
    said = node.reconciler.cycle(urgent=False)
    assert said is not None
    assert keys.rollout_key(2) in said
    assert "last answer" not in said


def test_a_record_that_cannot_be_read_is_as_good_as_no_answer_of_the_ledger() -> None:
    node, poll = waiting()
    node.store.failing = Unreachable("no answer")
    assert "no answer" in (node.reconciler.cycle(urgent=False) or "")
    node.store.failing = None
    assert poll(5)[-1] == keys.rollout_key(2)
    assert node.reconciler._rollout_client.cluster is not None


def test_the_next_release_is_taken_after_one_that_failed() -> None:
    node = serving()
    node.web.fails.add(2)
    node.put("config.yml", b"name: b\n")
    node.reconciler.cycle()
    node.put("config.yml", b"name: c\n")
    node.reconciler.cycle()
    assert node.live == 3


def test_a_damaged_record_in_the_ledger_is_passed_over() -> None:
    node = serving()
    node.put(keys.release_key(2), b"{}")
    node.reconciler.cycle()
    assert node.live == 1
    node.reconciler.cycle()
    assert len([line for line in node.progress.said if "0000000002.json" in line]) == 1
    assert "0000000002.json" in (next(built.node_statuses(node.store)).report.problem or "")


def test_a_release_is_taken_once_its_record_is_mended() -> None:
    node, key = serving(), keys.release_key(2)
    other = member("b", node.store)
    node.put("config.yml", b"name: b\n")
    other.reconciler.cycle()
    whole = node.store.read(key).data
    node.put(key, whole.replace(b"nonce", b"sense"))
    node.reconciler.cycle()
    assert node.live == 1
    node.put(key, whole)
    node.reconciler.cycle()
    assert node.live == 2
    assert next(built.node_statuses(node.store)).report.problem is None


@pytest.mark.parametrize("damage", [b"name: x\n", None], ids=["other bytes", "nothing"])
def test_a_blob_that_the_store_has_lost_is_named_and_the_release_is_taken_once_it_is_mended(
    damage: bytes | None,
) -> None:
    node = serving()
    other = member("b", node.store)
    node.put("config.yml", b"name: b\n")
    other.reconciler.cycle()
    key = keys.blob_key(blob_of(b"name: b\n"))
    node.store.delete(key)
    if damage is not None:
        node.put(key, damage)
    for _ in range(2):
        node.reconciler.cycle()
        assert node.live == 1
        assert key in (reports_of(node)["a"].problem or "")
    assert len([line for line in node.progress.said if key in line]) == 1
    with pytest.raises(TimedOut, match=key):
        built.until_stable(
            node.store,
            built.rollouts(node.store, lambda: "n"),
            node.clock,
            node.progress,
            2,
            patience=timedelta(seconds=5),
        )

    node.put(key, b"name: b\n")
    node.clock.time += RETRY_REJECTED
    node.reconciler.cycle()
    assert node.live == 2
    assert reports_of(node)["a"].problem is None


def test_a_new_node_takes_an_older_release_while_the_newest_is_damaged_in_the_store() -> None:
    node = serving()
    node.put("config.yml", b"name: b\n")
    node.reconciler.cycle()
    key = keys.blob_key(blob_of(b"name: b\n"))
    node.put(key, b"wrong")
    new = member("b", node.store)
    for _ in range(2):
        new.reconciler.cycle()
    assert new.live == 1
    node.put(key, b"name: b\n")
    new.clock.time += RETRY_REJECTED
    for _ in range(2):
        new.reconciler.cycle()
    assert new.live == 2


def reports_of(node: Member[MemoryStore]) -> dict[str, Report]:
    return {each.node: each for each in built.every(node.store)}


def test_another_process_at_work_on_the_node_is_waited_for() -> None:
    node = serving()
    lock = FakeLock()
    lock.holder = "update"
    node.reconciler._lock = lock
    node.put("config.yml", b"name: b\n")
    node.reconciler.cycle()
    assert node.live == 1
    lock.holder = None
    node.reconciler.cycle()
    assert node.live == 2


def test_an_idle_node_reports_only_with_its_heartbeat() -> None:
    node = serving()
    node.reconciler.cycle()
    first = node.store.read(keys.node_key("a")).tag
    node.reconciler.cycle()
    assert node.store.read(keys.node_key("a")).tag == first
    node.clock.time += timedelta(seconds=31)
    node.reconciler.cycle()
    assert node.store.read(keys.node_key("a")).tag != first


def test_a_node_that_resolves_or_stages_for_long_goes_on_reporting_what_it_does() -> None:
    node = serving()
    activity = ["downloading: 1 of 3"]
    node.reconciler._reporting._activity = lambda: activity[0]

    def beats_meanwhile() -> None:
        key, store = keys.node_key("a"), node.store
        before = store.read(key).tag
        node.reconciler.beat()
        assert store.read(key).tag == before, "the heartbeat is not due"
        for text in ("downloading: 2 of 3", "downloading: 3 of 3"):
            activity[0] = text
            node.clock.time += HEARTBEAT
            node.reconciler.beat()
            node.reconciler.beat()
            seen = next(built.node_statuses(store)).report
            assert (seen.phase, seen.activity) == (Phase.STAGING, text)

    stage = node.installation.stage

    def slowly(release: Release, settings: Settings) -> None:
        beats_meanwhile()
        stage(release, settings)

    node.installation.stage = slowly  # type: ignore[method-assign]
    node.put("config.yml", b"name: b\n")
    assert node.reconciler.cycle() is None
    assert node.live == 2


def test_a_heartbeat_never_leaves_an_older_report_behind_than_the_newest() -> None:
    node = serving()
    told = node.reconciler._reporting._told
    assert told is not None
    newest = Told(replace(told.report, problem="the newest"))
    node.clock.time += HEARTBEAT

    def faster(key: str) -> None:
        if key == keys.node_key("a"):
            node.store.before_write = lambda _: None
            node.reconciler._reporting._told = newest

    node.store.before_write = faster
    node.reconciler.beat()
    assert next(built.node_statuses(node.store)).report.problem == "the newest"


def test_a_report_that_comes_late_is_not_the_last_word() -> None:
    node = serving()
    late: list[Callable[[], object]] = []

    class Late(NoDeadline):
        def __call__(self, question: Callable[[], T]) -> T:
            late.append(question)
            raise Unreachable("nobody has answered")

    node.deadline = Late()
    node.put("config.yml", b"name: b\n")
    node.begin().until_serving()
    told = next(built.node_statuses(node.store)).report
    assert (told.phase, told.release) == (Phase.SERVING, 2)
    for question in late:
        question()
    assert next(built.node_statuses(node.store)).report.phase is Phase.SERVING


def test_an_agent_that_is_stopped_gives_back_a_slot_that_it_could_not_use() -> None:
    node = serving()
    node.store.write(keys.node_key("b"), b"{}", ports.Always())
    records = built.rollouts(node.store, lambda: "n")
    held: list[str] = []

    def stop(_: int) -> None:
        if node.store.failing is not None:
            node.store.failing = None
            record = records.read(2)
            assert record is not None
            held.extend(slot.node for slot in record.slots)
            raise Stopped

    node.web.power.on["drain"] = lambda: setattr(node.store, "failing", Unreachable("no answer"))
    node.put("config.yml", b"name: b\n")
    node.run(3, stop)
    record = records.read(2)
    assert record is not None
    assert (held, record.slots, node.web.draining()) == (["a"], (), False)


def test_a_node_that_has_not_yet_said_anything_has_no_heartbeat() -> None:
    node = member()
    node.clock.time += HEARTBEAT
    node.reconciler.beat()
    assert list(built.node_statuses(node.store)) == []


def test_a_node_says_whom_it_waits_for_and_how_long_already() -> None:
    node = serving()
    other = built.leases(node.store, holder="web-2", nonce="x")
    assert other.claim()
    for _ in range(2):
        node.store.now += timedelta(seconds=20)
        other.renew()
    node.put("config.yml", b"name: b\n")
    node.reconciler.cycle()
    assert next(built.node_statuses(node.store)).report.activity == "web-2 has been publishing the inbox for 40 s"
    other.release()
    node.reconciler.cycle()
    assert next(built.node_statuses(node.store)).report.activity is None
    assert node.live == 2


def test_a_start_that_waits_says_so_every_ten_seconds() -> None:
    node = member()
    other = built.leases(node.store, holder="web-2", nonce="x")
    assert other.claim()
    assert node.reconciler.until_serving() is None
    lines = [line for line in node.progress.said if line.startswith("Waiting")]
    assert lines[:2] == [
        "Waiting: web-2 has been publishing the inbox for 0 s",
        "Waiting: web-2 has been publishing the inbox for 10 s",
    ]
    assert len(lines) == 3, "no longer than the lease of a holder that does nothing lasts"


def test_what_a_command_that_is_run_once_has_printed_before_it_failed_is_in_the_record() -> None:
    node = serving()
    node.programs.failures["migrate"] = "ended with exit code 1: a line"
    node.put("config.yml", b"name: b\nda agent:\n  max failures: 0\n  release command: [prepare, migrate]\n")
    node.reconciler.cycle()
    record = built.rollouts(node.store, lambda: "n").read(2)
    assert record is not None
    assert [(failure.reason, failure.log) for failure in record.failures] == [
        ("migrate ended with exit code 1: a line", ("a line", "a line"))
    ]


@pytest.mark.parametrize("abrupt", [False, True])
def test_before_a_restart_that_cuts_requests_a_node_stays_away_until_the_balancer_knows(abrupt: bool) -> None:
    store = MemoryStore()
    nodes = [member(name, store) for name in ("a", "b")]
    for node in (*nodes, *nodes):
        node.reconciler.cycle()
    first = nodes[0]
    first.web.abrupt = {2} if abrupt else set()
    first.put("config.yml", b"name: b\n")
    before = len(first.clock.waits)
    first.reconciler.cycle()
    assert first.live == 2
    assert (sum(first.clock.waits[before:], timedelta()) >= NOTICE) is abrupt


def bad_releases(bad: int) -> MemoryStore:
    """A store with so many releases that no node can load, and a good one after them."""
    store = MemoryStore()
    maker = member("maker", store)
    for number in range(1, bad + 2):
        maker.put("config.yml", f"name: {number}\n".encode())
        maker.reconciler.cycle()
    assert maker.live == bad + 1
    store.delete(keys.node_key("maker"))
    return store


def test_a_node_that_starts_with_nothing_reads_the_store_again_after_each_rejection_until_it_serves() -> None:
    store = bad_releases(1)
    node = member("a", store)
    node.web.unfit = {2}
    handed_back: list[bool] = []
    node.clock.on_wait = lambda _: handed_back.append(node.reconciler._node.hands_back)
    assert node.reconciler.until_serving() is None
    assert (node.live, handed_back[0]) == (1, True)


def test_the_loop_reads_the_store_again_soon_after_a_rejection_that_leaves_nothing_to_serve() -> None:
    store = bad_releases(1)
    node = member("a", store)
    node.web.unfit = {2}
    waits: list[tuple[bool, timedelta]] = []
    node.run(4, lambda _: waits.append((node.reconciler._node.hands_back, node.clock.waits[-1])))
    assert node.live == 1
    # The first wait of a loop is spread over the period; the chance is 0.5.
    assert (waits[0], waits[-1]) == ((True, SOON / 2), (False, Settings().poll_interval))
