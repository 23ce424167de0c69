"""Which stores may be used for a cluster."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from da_agent.domain.store import keys
from da_agent.domain.store.conformance import Conformance, StoreCheck
from da_agent.domain.store.inboxes import Entry
from da_agent.errors import AgentError, Conflict, Forbidden, NotFound, OutcomeUnknown, StoreUnfit, Unreachable
from da_agent.ports import Always, Condition, IfAbsent, IfTag, Stored
from da_agent.workflows.upkeep.conformance import RACERS, examine, require_fit
from tests.fakes import MemoryStore

T = TypeVar("T")


class InTurn:
    """A race in which everybody runs alone: enough for stores that are wrong each time."""

    def __call__(self, jobs: Sequence[Callable[[], T]]) -> list[T | AgentError]:
        results: list[T | AgentError] = []
        for job in jobs:
            try:
                results.append(job())
            except AgentError as error:
                results.append(error)
        return results


class MemoryConformances:
    def __init__(self) -> None:
        self.kept: dict[str, Conformance] = {}

    def load(self, identity: str) -> Conformance | None:
        return self.kept.get(identity)

    def save(self, conformance: Conformance) -> None:
        self.kept[conformance.store] = conformance


class Racing(MemoryStore):
    """Knows how many of a race have had their turn."""

    slots = 0

    def write(self, key: str, body: bytes | Path, when: Condition) -> str:
        assert isinstance(body, bytes)
        if not body.startswith(b"racer"):
            return super().write(key, body, when)
        self.slots += 1
        return self.decide(key, body, when)

    def decide(self, key: str, body: bytes, when: Condition) -> str:
        return super().write(key, body, when)


# ---- stores that break one promise each


class IgnoresConditions(MemoryStore):
    def write(self, key: str, body: bytes | Path, when: Condition) -> str:
        return super().write(key, body, Always())


class IgnoresIfAbsent(MemoryStore):
    def write(self, key: str, body: bytes | Path, when: Condition) -> str:
        return super().write(key, body, Always() if isinstance(when, IfAbsent) else when)


class IgnoresTags(MemoryStore):
    """Replaces whatever is there, if only something is."""

    def write(self, key: str, body: bytes | Path, when: Condition) -> str:
        if isinstance(when, IfTag):
            self.read(key)
        return super().write(key, body, Always() if isinstance(when, IfTag) else when)


class AcceptsUnknownTags(MemoryStore):
    def write(self, key: str, body: bytes | Path, when: Condition) -> str:
        unknown = isinstance(when, IfTag) and '"' in when.tag
        return super().write(key, body, Always() if unknown else when)


class ReplacesNothing(MemoryStore):
    def write(self, key: str, body: bytes | Path, when: Condition) -> str:
        try:
            return super().write(key, body, when)
        except NotFound:
            return super().write(key, body, Always())


class NeverReplaces(MemoryStore):
    def write(self, key: str, body: bytes | Path, when: Condition) -> str:
        if isinstance(when, IfTag):
            raise Conflict("not now")
        return super().write(key, body, when)


class SaysLostButWrites(MemoryStore):
    def write(self, key: str, body: bytes | Path, when: Condition) -> str:
        try:
            return super().write(key, body, when)
        except Conflict:
            super().write(key, body, Always())
            raise


class KnowsNoTags(MemoryStore):
    def write(self, key: str, body: bytes | Path, when: Condition) -> str:
        if isinstance(when, IfTag):
            raise StoreUnfit("cannot use the store: it does not know If-Match")
        return super().write(key, body, when)


class SaysGone(MemoryStore):
    def write(self, key: str, body: bytes | Path, when: Condition) -> str:
        if isinstance(when, IfTag) and '"' in when.tag:
            raise NotFound("there is no such thing")
        return super().write(key, body, when)


class KeepsCheckSums(MemoryStore):
    def write(self, key: str, body: bytes | Path, when: Condition) -> str:
        assert isinstance(body, bytes)
        return super().write(key, body + b"\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", when)


class TagsAnew(MemoryStore):
    def read(self, key: str) -> Stored:
        stored = super().read(key)
        return Stored(stored.data, f"W/{stored.tag}", stored.modified_at)


class ReadsLate(MemoryStore):
    def read(self, key: str) -> Stored:
        raise NotFound("not yet")


class ListsLate(MemoryStore):
    def scan(self, prefix: str, after: str = "") -> Iterator[Entry]:
        return iter(())


class ListsOldTags(MemoryStore):
    def scan(self, prefix: str, after: str = "") -> Iterator[Entry]:
        for entry in super().scan(prefix, after):
            yield Entry(entry.key, entry.size, "old", entry.modified_at)


class DeletesLate(MemoryStore):
    def delete(self, key: str) -> None:
        pass


class TwoWin(Racing):
    """Now and then: only in the last round."""

    def decide(self, key: str, body: bytes, when: Condition) -> str:
        last = self.slots % (3 * RACERS) == 0
        return MemoryStore.write(self, key, body, Always() if last else when)


class WrongOneWins(Racing):
    def decide(self, key: str, body: bytes, when: Condition) -> str:
        tag = MemoryStore.write(self, key, body, when)
        MemoryStore.write(self, key, b"racer of nobody", Always())
        return tag


class NobodyWins(Racing):
    def decide(self, key: str, body: bytes, when: Condition) -> str:
        raise Conflict("somebody else was first")


BROKEN: dict[type[MemoryStore], tuple[str, str]] = {
    IgnoresConditions: ("an object is created once", "lets two writers create the same object"),
    IgnoresIfAbsent: ("an object is created once", "lets two writers create the same object"),
    IgnoresTags: ("an object is not replaced with a wrong tag", "although the tag is wrong"),
    AcceptsUnknownTags: ("an object is not replaced with a wrong tag", "although the tag is wrong"),
    ReplacesNothing: ("an object that is gone is not replaced", "replaces an object that is gone"),
    NeverReplaces: ("an object is replaced by a writer that has its tag", "refuses a write whose condition holds"),
    SaysLostButWrites: ("an object is created once", "but answers that it did not"),
    KnowsNoTags: ("an object is replaced by a writer that has its tag", "does not know If-Match"),
    SaysGone: ("an object is not replaced with a wrong tag", "gives an unexpected answer"),
    KeepsCheckSums: ("what was written is read back", "other bytes"),
    TagsAnew: ("what was written is read back", "another tag"),
    ReadsLate: ("what was written is read back", "does not have an object that was just written"),
    ListsLate: ("what was written is listed", "does not list"),
    ListsOldTags: ("what was written is listed", "another tag or size"),
    DeletesLate: ("what was deleted is gone", "still has an object"),
    TwoWin: (
        "when 8 writers create an object at once, one succeeds",
        "lets 2 of 8 writers create the same object at once",
    ),
    WrongOneWins: ("when 8 writers create an object at once, one succeeds", "reports success to the wrong one"),
    NobodyWins: ("when 8 writers create an object at once, one succeeds", "has no object after several writers"),
}


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_a_store_that_breaks_a_promise_is_not_fit(kind: type[MemoryStore]) -> None:
    conformance = examine(kind(), InTurn(), "nonce")
    name, detail = BROKEN[kind]
    assert not conformance.fit
    failed = next(check for check in conformance.tried if not check.ok)
    assert (failed.name, detail in failed.detail) == (name, True), failed
    assert detail in conformance.verdict
    assert "\n" not in conformance.verdict


def test_a_store_that_keeps_all_promises_is_fit() -> None:
    store = MemoryStore()
    conformance = examine(store, InTurn(), "nonce")
    assert [check for check in conformance.tried if not check.ok] == []
    assert conformance.fit
    assert conformance.store == store.identity
    assert conformance.verdict == f"The store {store.identity} is fit for a cluster."


def test_every_promise_is_tried_even_when_the_first_is_broken() -> None:
    kept, broken = examine(MemoryStore(), InTurn(), "nonce"), examine(ReadsLate(), InTurn(), "nonce")
    assert [check.name for check in kept.tried] == [check.name for check in broken.tried]


@pytest.mark.parametrize("kind", [MemoryStore, *(kind for kind in BROKEN if kind is not DeletesLate)])
def test_nothing_is_left_behind(kind: type[MemoryStore]) -> None:
    store = kind()
    examine(store, InTurn(), "nonce")
    assert list(MemoryStore.scan(store, "")) == []


def test_only_scratch_objects_of_this_examination_are_touched() -> None:
    store, touched = MemoryStore(), set[str]()
    store.before_write = touched.add
    examine(store, InTurn(), "nonce")
    assert all(key.startswith(f"{keys.CONFORMANCE}nonce") for key in touched)


@pytest.mark.parametrize("error", [Unreachable("no answer"), Forbidden("no"), OutcomeUnknown("who knows")])
def test_a_store_that_does_not_answer_gets_no_verdict_and_is_tidied_up(error: AgentError) -> None:
    store = MemoryStore()

    def fail(key: str) -> None:
        if key.endswith("old"):
            raise error

    store.after_write = fail
    with pytest.raises(type(error)):
        examine(store, InTurn(), "nonce")
    assert list(store.scan("")) == []


def test_tidying_up_does_not_hide_why_the_examination_ended() -> None:
    store = MemoryStore()

    def cut(key: str) -> None:
        store.failing = Forbidden("from now on")
        raise Unreachable("the first failure")

    store.after_write = cut
    with pytest.raises(Unreachable, match="the first failure"):
        examine(store, InTurn(), "nonce")


class AnswersDoubtfully(Racing):
    """The winner of each race is told that it may have won: Amazon's own 500 under contention."""

    def decide(self, key: str, body: bytes, when: Condition) -> str:
        MemoryStore.write(self, key, body, when)
        raise OutcomeUnknown("no clear answer")


def test_doubt_in_a_race_is_settled_by_what_is_there_afterwards() -> None:
    assert examine(AnswersDoubtfully(), InTurn(), "nonce").fit


class Silent(Racing):
    def decide(self, key: str, body: bytes, when: Condition) -> str:
        raise Unreachable("no answer")


def test_a_race_without_answers_gets_no_verdict() -> None:
    with pytest.raises(Unreachable):
        examine(Silent(), InTurn(), "nonce")


# ---- admission


def test_a_fit_store_is_examined_once() -> None:
    store, conformances, written = MemoryStore(), MemoryConformances(), list[str]()
    store.before_write = written.append
    require_fit(store, InTurn(), conformances, "first")
    assert conformances.kept[store.identity].fit
    written.clear()
    require_fit(store, InTurn(), conformances, "second")
    assert written == []


def test_an_unfit_store_is_refused_in_one_sentence_and_examined_again() -> None:
    store, conformances, written = IgnoresConditions(), MemoryConformances(), list[str]()
    store.before_write = written.append
    for nonce in ("first", "second"):
        with pytest.raises(StoreUnfit, match=r"not fit for a cluster: .* \(and \d more\); use a store with"):
            require_fit(store, InTurn(), conformances, nonce)
    assert any("second" in key for key in written)
    assert not conformances.kept[store.identity].fit


def test_a_store_that_was_fit_is_refused_when_its_locks_hold_here_alone() -> None:
    store, conformances = MemoryStore(), MemoryConformances()
    require_fit(store, InTurn(), conformances, "first")
    store.hindered = "locks on /srv (fuse.sshfs) hold on this machine alone"
    with pytest.raises(
        StoreUnfit, match=r"is not fit for a cluster: locks on /srv \(fuse.sshfs\) hold .*; use a store"
    ):
        require_fit(store, InTurn(), conformances, "second")
    store.hindered = None
    require_fit(store, InTurn(), conformances, "third")


def test_a_store_that_does_not_answer_is_not_remembered() -> None:
    store, conformances = MemoryStore(), MemoryConformances()
    store.failing = Unreachable("no answer")
    with pytest.raises(Unreachable):
        require_fit(store, InTurn(), conformances, "nonce")
    assert conformances.kept == {}


def test_a_conformance_record_without_checks_is_worth_nothing() -> None:
    assert not Conformance("somewhere", ()).fit
    assert "has not been examined" in Conformance("somewhere", ()).verdict


def test_a_single_failure_counts_nothing_more() -> None:
    conformance = Conformance("somewhere", (StoreCheck("a", True, ""), StoreCheck("b", False, "it forgets")))
    assert conformance.verdict.startswith("The store somewhere is not fit for a cluster: it forgets; use ")
