"""The ledger: appended to, never changed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from da_agent import ports
from da_agent.domain import records
from da_agent.domain.store import keys
from da_agent.domain.store.leases import RENEWAL, TERM
from da_agent.errors import Conflict, Corrupt, NotFound, OutcomeUnknown, UnknownFormat, Unreachable
from da_agent.workflows.records.leases import Leases
from da_agent.workflows.records.readers import Reader
from tests import built
from tests.fake_nodes import release
from tests.fakes import MemoryStore


class Unanswered(MemoryStore):
    """A store whose next create-only writes get no answer; `arrives` tells whether they happen all the same."""

    def __init__(self, arrives: bool, times: int = 1) -> None:
        super().__init__()
        self.arrives = arrives
        self.times = times

    def write(self, key: str, body: bytes | Path, when: ports.Condition) -> str:
        if isinstance(when, ports.IfAbsent) and self.times:
            self.times -= 1
            if self.arrives:
                super().write(key, body, when)
            raise OutcomeUnknown("no answer")
        return super().write(key, body, when)


def test_what_was_appended_is_read_and_is_the_head() -> None:
    ledger = built.ledger(MemoryStore())
    assert ledger.head() is None
    ledger.append(release(1))
    ledger.append(release(2))
    assert ledger.head() == 2
    assert ledger.head(1) == 2
    assert ledger.read(2) == release(2)


def test_a_number_is_given_once() -> None:
    ledger = built.ledger(MemoryStore())
    ledger.append(release(1))
    other = records.decode(type(release(1)), records.encode(release(1)).replace(b"nonce1", b"nonceX"), "test")
    with pytest.raises(Conflict):
        ledger.append(other)
    assert ledger.read(1) == release(1)


def test_appending_the_same_release_again_is_no_loss() -> None:
    ledger = built.ledger(MemoryStore())
    ledger.append(release(1))
    ledger.append(release(1))


@pytest.mark.parametrize("arrives", [True, False])
def test_a_write_without_an_answer_is_looked_up(arrives: bool) -> None:
    ledger = built.ledger(Unanswered(arrives))
    ledger.append(release(1))
    assert ledger.read(1) == release(1)


def test_a_store_that_never_answers_leaves_a_doubt_that_is_said() -> None:
    with pytest.raises(OutcomeUnknown, match="try again"):
        built.ledger(Unanswered(arrives=False, times=99)).append(release(1))


def test_an_unreachable_store_has_no_empty_ledger() -> None:
    store = MemoryStore()
    store.failing = Unreachable("no answer")
    asked: list[Callable[[], object]] = [built.ledger(store).head, lambda: built.ledger(store).head(1)]
    for ask in asked:
        with pytest.raises(Unreachable):
            ask()


def test_no_byte_of_a_release_can_change_unnoticed() -> None:
    store = MemoryStore()
    built.ledger(store).append(release(1))
    whole = store.read(keys.release_key(1)).data
    for place, byte in enumerate(whole):
        changed = whole[:place] + bytes([byte ^ 1]) + whole[place + 1 :]
        store.write(keys.release_key(1), changed, ports.Always())
        with pytest.raises(Corrupt, match=r"0000000001\.json"):
            built.ledger(store).read(1)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", records.encode(release(1)), records.seal(release(2))])
def test_a_damaged_record_is_named(body: bytes) -> None:
    store = MemoryStore()
    store.write(keys.release_key(1), body, ports.Always())
    with pytest.raises(Corrupt, match=r"0000000001\.json"):
        built.ledger(store).read(1)


def test_foreign_objects_among_the_releases_are_passed_over() -> None:
    store = MemoryStore()
    for name in ("readme.txt", "12.json", "00000000x1.json"):
        store.write(keys.RELEASES + name, b"", ports.Always())
    assert built.ledger(store).head() is None


def test_a_release_that_is_not_there_is_absent() -> None:
    with pytest.raises(NotFound):
        built.ledger(MemoryStore()).read(7)


def test_one_holder_has_the_lease_until_it_ends_or_is_given_back() -> None:
    store = MemoryStore()
    first = built.leases(store, holder="a", nonce="1")
    second = built.leases(store, holder="b", nonce="2")
    assert first.claim()
    assert first.claim()
    assert not second.claim()
    second.release()
    assert not second.claim()
    first.release()
    assert second.claim()


def test_the_lease_of_a_dead_holder_ends() -> None:
    store = MemoryStore()
    assert built.leases(store, holder="a", nonce="1").claim()
    store.now += TERM
    assert built.leases(store, holder="b", nonce="2").claim()


def test_a_lease_that_is_renewed_lasts_as_long_as_its_holder_works() -> None:
    store = MemoryStore()
    working, other = built.leases(store, holder="a", nonce="1"), built.leases(store, holder="b", nonce="2")
    assert working.claim()
    begun = store.now
    for _ in range(10):
        store.now += RENEWAL
        working.renew()
    assert not other.claim()
    assert other.other is not None
    assert (other.other.holder, other.other.since) == ("a", begun)
    store.now += TERM
    assert other.claim(), "a holder that is suspended renews nothing"
    working.renew()
    assert not working.claim(), "and does not take the lease back"


def test_a_lease_is_renewed_while_its_context_is_open() -> None:
    store = MemoryStore()
    open_: list[Callable[[], None]] = []

    @contextmanager
    def repeat(work: Callable[[], None], period: timedelta) -> Iterator[None]:
        assert period == RENEWAL
        open_.append(work)
        yield
        open_.clear()

    lease = Leases(store, Reader(store), holder="a", nonce="1", repeat=repeat)
    assert lease.claim()
    with lease.renewed():
        for _ in range(5):
            store.now += RENEWAL
            open_[0]()
        assert not built.leases(store, holder="b", nonce="2").claim()
    assert open_ == []


def test_a_lease_without_an_answer_of_the_store_is_not_renewed_and_nothing_is_raised() -> None:
    store = MemoryStore()
    lease = built.leases(store, holder="a", nonce="1")
    lease.renew()
    assert lease.claim()
    store.failing = Unreachable("no answer")
    lease.renew()
    store.failing = None
    store.now += TERM
    assert built.leases(store, holder="b", nonce="2").claim()


def test_a_release_of_a_newer_agent_is_not_passed_over() -> None:
    store = MemoryStore()
    ledger = built.ledger(store)
    ledger.append(release(1))
    newer = store.read(keys.release_key(1)).data.replace(b'"format": 1', b'"format": 2')
    store.write(keys.release_key(2), newer, ports.Always())
    with pytest.raises(UnknownFormat, match="Update da_agent on this node"):
        ledger.top()


def test_the_lease_of_a_newer_agent_is_not_taken() -> None:
    store = MemoryStore()
    store.write(keys.PUBLISHING, b'{"format": 2, "owner": "a"}', ports.Always())
    lease = built.leases(store, holder="b", nonce="2")
    with pytest.raises(UnknownFormat, match=r"publishing.json: it has format 2, .*Update da_agent on this node"):
        lease.claim()
    store.write(keys.PUBLISHING, b"damaged", ports.Always())
    assert lease.claim()


def test_a_lease_is_released_although_a_renewal_was_on_its_way() -> None:
    store = MemoryStore()
    lease = built.leases(store, holder="a", nonce="1")
    assert lease.claim()

    def renewal(_: str) -> None:
        store.before_write = lambda _: None
        lease.renew()

    store.before_write = renewal
    lease.release()
    assert built.leases(store, holder="b", nonce="2").claim()


def test_a_damaged_release_at_the_top_does_not_hide_the_one_below_it_nor_its_own_number() -> None:
    store = MemoryStore()
    ledger = built.ledger(store)
    assert (ledger.top().number, ledger.top().release) == (0, None)
    ledger.append(release(1))
    store.write(keys.release_key(2), b"damaged", ports.Always())
    assert (ledger.top().number, ledger.top().release) == (2, release(1))
