"""What nodes say of themselves, looked at again and again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from da_agent.domain.node.reports import Phase, Report
from da_agent.domain.store import keys
from da_agent.errors import NotFound
from da_agent.ports import Always, Stored
from da_agent.workflows.records import reports
from tests import built
from tests.fakes import MemoryStore

STARTED = datetime(2026, 1, 1, tzinfo=UTC)
A = Report("a", "host", "address", 1, None, Phase.SERVING, None, "0", "3.11", STARTED)
B = replace(A, node="b")


class Remembering(MemoryStore):
    """Knows what was read; of `vanishing` a listing speaks although it has just gone."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.vanishing: str | None = None

    def read(self, key: str) -> Stored:
        self.asked.append(key.removeprefix(keys.NODES).removesuffix(".json"))
        if key == self.vanishing:
            raise NotFound(key)
        return super().read(key)


def test_only_what_is_new_since_the_last_look_is_read() -> None:
    store = Remembering()
    for each in (A, B):
        reports.send(store, each)
    watch = built.watch(store)
    first = watch.look()
    assert ([seen.report for seen in first], store.asked) == ([A, B], ["a", "b"])
    assert (watch.look(), store.asked) == (first, ["a", "b"])
    store.now += timedelta(seconds=30)
    reports.send(store, replace(B, release=2))
    assert [seen.report.release for seen in watch.look()] == [1, 2]
    assert store.asked == ["a", "b", "b"]
    assert tuple(built.node_statuses(store)) == watch.look()


def test_a_heartbeat_that_says_the_same_is_new() -> None:
    store = Remembering()
    reports.send(store, A)
    watch = built.watch(store)
    watch.look()
    store.now += timedelta(seconds=30)
    reports.send(store, A)
    assert [seen.at for seen in watch.look()] == [store.now]


def test_what_has_gone_or_is_damaged_is_left_out_until_it_is_whole_again() -> None:
    store = Remembering()
    for each in (A, B):
        reports.send(store, each)
    watch = built.watch(store)
    store.vanishing = keys.node_key("a")
    assert [seen.report for seen in watch.look()] == [B]
    store.vanishing = None
    store.write(keys.node_key("b"), b"{", Always())
    assert [seen.report for seen in watch.look()] == [A]
    reports.send(store, B)
    assert [seen.report for seen in watch.look()] == [A, B]
    store.delete(keys.node_key("a"))
    assert [seen.report for seen in watch.look()] == [B]
