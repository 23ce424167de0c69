"""What is removed, and what is released beside it: whatever the order of their requests."""

import copy
import itertools
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest

from da_agent.domain.node import garbage
from da_agent.domain.store import keys
from da_agent.domain.store.blobs import blob_of
from da_agent.errors import AgentError, Busy, Conflict, NotFound, UnknownFormat
from da_agent.ports import Always
from da_agent.workflows.publish.pushes import InboxWrites
from da_agent.workflows.upkeep.garbage import Collected
from da_agent.workflows.upkeep.gc_lock import MARGIN, TERM
from tests import built
from tests.fakes import NOON, FakeClock, FakeNotifier, MemoryBlobs, MemoryStore, MemoryTransfers
from tests.unit.test_garbage import old_cluster
from tests.unit.test_publisher import Cluster

OLD = b"number: 2\n"
"""A configuration that only an old release has, which nobody needs."""


class Watched(MemoryStore):
    """Calls `before_request` before each request of the thread that made it."""

    def __init__(self, like: MemoryStore) -> None:
        super().__init__()
        vars(self).update(copy.deepcopy(like).__getstate__())
        self.before_request: Callable[[], object] = lambda: None
        self._owner = threading.get_ident()

    def _answer(self) -> None:
        super()._answer()
        if threading.get_ident() == self._owner:
            self.before_request()


class Turnstile(FakeClock):
    """Whoever waits is held until `opened`; that it waits, or has ended, is known from `held`."""

    def __init__(self) -> None:
        super().__init__()
        self.held = threading.Event()
        self.opened = threading.Event()

    def wait(self, period: timedelta) -> bool:
        self.held.set()
        assert self.opened.wait(20)
        return super().wait(period)


Act = Callable[[MemoryStore, FakeClock], object]


def push(store: MemoryStore, clock: FakeClock) -> None:
    cluster = Cluster(store=store, clock=clock)
    cluster.pushes.push(lambda _: InboxWrites({keys.CONFIG: OLD}), "a test")


def go_back(store: MemoryStore, clock: FakeClock) -> None:
    records, notifications = (
        built.rollouts(store, lambda: "r"),
        built.notifications(store, FakeNotifier(), lambda: None, clock),
    )
    transfers = MemoryTransfers(store, MemoryBlobs())
    steering = built.steering(
        store, records, notifications, clock, transfers, who="admin", nonce=lambda: "nonce of admin"
    )
    steering.rollback(2)


def gc(store: MemoryStore, clock: FakeClock) -> None:
    built.collect(store, clock, dry_run=False, who="me", nonce=f"gc {id(clock)}")


def run(act: Act, store: MemoryStore, clock: FakeClock) -> AgentError | None:
    """What it ended with: a clear refusal is a good end."""
    try:
        act(store, clock)
    except AgentError as error:
        return error
    return None


def beside(store: Watched, first: Act, second: Act, at: int) -> bool:
    """Begin `second` before request number `at` of `first`, which goes on when that waits or has ended. False when
    `first` made fewer."""
    numbers, turnstile = itertools.count(), Turnstile()

    def follow() -> None:
        run(second, store, turnstile)
        turnstile.held.set()

    other = threading.Thread(target=follow)

    def begin() -> None:
        if next(numbers) == at:
            other.start()
            assert turnstile.held.wait(20)

    store.before_request = begin
    run(first, store, FakeClock())
    store.before_request = lambda: None
    turnstile.opened.set()
    if other.ident is None:
        return False
    other.join(20)
    assert not other.is_alive()
    return True


def lacking(store: MemoryStore) -> list[tuple[int, str]]:
    """Releases of the ledger, each with a blob that the store does not have."""
    found = []
    for number in built.ledger(store).numbers():
        for blob in built.ledger(store).read(number).contents.blobs():
            try:
                store.read(keys.blob_key(blob))
            except NotFound:
                found.append((number, blob.sha256))
    return found


def cluster() -> MemoryStore:
    store = old_cluster(13)
    store.write(keys.CONFIG, b"number: 13\n", Always())
    return store


@pytest.mark.parametrize(
    ("first", "second"), [(gc, push), (gc, go_back), (gc, gc), (push, gc), (go_back, gc)], ids=lambda act: act.__name__
)
def test_no_release_lacks_a_blob_whenever_another_one_begins(first: Act, second: Act) -> None:
    template = cluster()
    for at in itertools.count():
        store = Watched(template)
        if not beside(store, first, second, at):
            break
        assert lacking(store) == [], f"when {second.__name__} begins before request {at} of {first.__name__}"
        assert keys.blob_key(blob_of(b"left over")) not in {entry.key for entry in store.scan(keys.BLOBS)}
        if push in (first, second):
            assert built.ledger(store).head() == 14
    assert at >= 20


def test_what_was_written_again_by_an_agent_that_knows_of_no_gate_stays() -> None:
    store, key = cluster(), keys.blob_key(blob_of(b"left over"))
    delete = store.delete

    def delete_after_a_write(gone: str) -> None:
        store.write(key, b"left over", Always())
        delete(gone)

    store.delete = delete_after_a_write  # type: ignore[method-assign,assignment]
    gc(store, FakeClock())
    assert store.read(key).data == b"left over"


def test_a_release_of_an_agent_that_knows_of_no_gate_is_seen_before_the_next_delete() -> None:
    store = cluster()
    ledger, delete = built.ledger(store), store.delete
    made = ledger.read(2)

    def delete_after_an_append(gone: str) -> None:
        store.delete = delete  # type: ignore[method-assign]
        delete(gone)
        ledger.append(type(made)(14, "n", NOON, "old", "", made.contents))

    store.delete = delete_after_an_append  # type: ignore[method-assign,assignment]
    gc(store, FakeClock())
    assert lacking(store) == []
    assert ledger.head() == 14


def test_one_who_stood_still_behind_the_gate_removes_and_releases_nothing_more() -> None:
    for act in (gc, go_back):
        store, clock = Watched(cluster()), FakeClock()
        before = len(list(store.scan("")))

        def stand_still(key: str, store: Watched = store, clock: FakeClock = clock) -> None:
            if key == keys.GC_LOCK:
                store.after_write = lambda _: None
                clock.time += TERM - MARGIN

        store.after_write = stand_still
        assert isinstance(run(act, store, clock), Busy)
        assert len(list(store.scan(""))) == before + 1, "the gc lock alone"


def test_a_store_whose_time_jumps_ends_the_right_too() -> None:
    store, clock = cluster(), FakeClock()
    with built.gc_lock(store, clock).alone("me", "nonce") as held:
        held.require()
        store.now += TERM - MARGIN
        with pytest.raises(Busy, match="another process may hold it now"):
            held.require()


def test_the_right_is_renewed_while_looking_takes_long() -> None:
    store, clock = cluster(), FakeClock()
    with built.gc_lock(store, clock).alone("me", "nonce") as held:
        for _ in range(20):
            clock.time += timedelta(seconds=50)
            store.now += timedelta(seconds=50)
            held.require()
    assert built.gc_lock(store, clock).bring(lambda: None).tag is not None


def behind(store: MemoryStore, holder: str) -> bool:
    return built.leases(store, holder=holder, nonce="nonce", key=keys.GC_LOCK).claim(TERM)


def test_who_died_behind_the_gate_keeps_the_others_out_for_a_while_only() -> None:
    store, clock = cluster(), FakeClock()
    clock.on_wait = lambda _: setattr(store, "now", store.now + clock.waits[-1])
    assert behind(store, "dead")
    push(store, clock)
    assert timedelta(minutes=2) < sum(clock.waits, timedelta()) <= TERM + timedelta(seconds=1)


def test_who_waits_too_long_is_told_who_is_there() -> None:
    store, clock = cluster(), FakeClock()
    assert behind(store, "the night shift")
    with pytest.raises(Busy, match=r"the night shift still holds the gc lock on memory://store"):
        go_back(store, clock)
    with pytest.raises(Busy, match="the night shift"):
        built.gc_lock(store, clock).bring(lambda: None)


def test_the_gc_lock_of_a_newer_agent_is_neither_taken_nor_passed_over() -> None:
    store, clock = cluster(), FakeClock()
    store.write(keys.GC_LOCK, b'{"format": 2, "owner": "a"}', Always())
    lock, brought = built.gc_lock(store, clock), list[None]()
    with pytest.raises(UnknownFormat, match="Update da_agent on this node"):
        lock.bring(lambda: brought.append(None))
    with pytest.raises(UnknownFormat, match="Update da_agent on this node"), lock.alone("me", "0123456"):
        pass
    assert (brought, clock.waits) == ([], [])


def test_what_took_so_long_to_bring_that_it_is_old_by_now_is_looked_at_again() -> None:
    store, clock = cluster(), FakeClock()
    times = []

    def upload() -> None:
        times.append(clock.elapsed())
        if len(times) == 1:
            clock.time += garbage.TRUSTED

    built.gc_lock(store, clock).bring(upload)
    assert len(times) == 2
    assert garbage.FRESH + garbage.TRUSTED < garbage.AGE


def test_a_large_collection_lets_others_in_between_its_rounds() -> None:
    store, clock = cluster(), FakeClock()
    delete, told = store.delete, list[Collected]()

    def slow(key: str) -> None:
        clock.time += timedelta(seconds=11)
        delete(key)

    store.delete = slow  # type: ignore[method-assign]
    found = built.collect(store, clock, dry_run=False, who="me", nonce="0123456", tell=told.append)
    assert (found.releases, len(found.blobs), len(clock.waits)) == ((1, 2, 3), 4, 4)
    assert told == [found]


def test_what_is_gone_is_told_also_when_the_rest_fails() -> None:
    store, told = cluster(), list[Collected]()
    delete = store.delete

    def failing(key: str) -> None:
        if key.startswith(keys.BLOBS):
            raise Conflict("the store went away")
        delete(key)

    store.delete = failing  # type: ignore[method-assign]
    with pytest.raises(Conflict):
        built.collect(store, FakeClock(), dry_run=False, who="me", nonce="0123456", tell=told.append)
    assert told == [Collected((1, 2, 3))]
