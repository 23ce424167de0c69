"""Who is poked, and what happens when that fails: nothing."""

from dataclasses import dataclass, field
from datetime import timedelta

from da_agent.domain import keys
from da_agent.domain.reports import Phase, Report
from da_agent.domain.rpc_ports import Credentials
from da_agent.errors import AgentError, Refused, Unreachable
from da_agent.ports import Always
from da_agent.workflows import reports
from da_agent.workflows.wakings import Waking
from tests.fakes import NOON, FakeClock, FakePokes, MemoryStore

WORDS = Credentials("admin", "word")


@dataclass
class Cluster:
    store: MemoryStore = field(default_factory=MemoryStore)
    pokes: FakePokes = field(default_factory=FakePokes)
    clock: FakeClock = field(default_factory=FakeClock)
    credentials: Credentials | AgentError | None = WORDS

    def report(self, name: str, rpc: str | None) -> None:
        sent = Report(name, "host", "address", 1, 1, Phase.SERVING, None, "0", "3.11", NOON, rpc=rpc)
        reports.send(self.store, sent)

    def known(self) -> Credentials | None:
        if isinstance(self.credentials, AgentError):
            raise self.credentials
        return self.credentials

    @property
    def waking(self) -> Waking:
        return Waking(self.store, self.pokes, self.known, self.clock)

    def everybody(self) -> frozenset[str]:
        return self.waking.wake(self.waking.alive())


def test_those_who_have_lately_said_where_they_can_be_poked_are_poked_all_at_once() -> None:
    cluster = Cluster()
    cluster.report("silent", "10.0.0.1:9001")
    cluster.store.now += timedelta(seconds=101)
    cluster.report("a", "10.0.0.2:9001")
    cluster.report("b", "10.0.0.3:9001")
    cluster.report("polls", None)
    cluster.store.write(keys.node_key("damaged"), b"{", Always())
    assert cluster.everybody() == frozenset()
    assert cluster.pokes.poked == [({"a": "10.0.0.2:9001", "b": "10.0.0.3:9001"}, WORDS)]


def test_whoever_cannot_be_reached_is_named() -> None:
    cluster = Cluster()
    cluster.report("a", "10.0.0.2:9001")
    cluster.report("b", "10.0.0.3:9001")
    cluster.pokes.deaf = {"b"}
    assert cluster.everybody() == {"b"}


def test_nobody_is_poked_without_credentials_or_without_a_store() -> None:
    cluster = Cluster()
    cluster.report("a", "10.0.0.2:9001")
    for credentials in (None, Refused("of no use"), Unreachable("no answer")):
        cluster.credentials = credentials
        assert cluster.everybody() == frozenset()
        assert cluster.waking.poke(["a"]) == {"a"}
    cluster.credentials = WORDS
    cluster.store.failing = Unreachable("no answer")
    assert cluster.everybody() == frozenset()
    assert cluster.pokes.poked == []


def test_only_those_whose_turn_has_come_are_poked() -> None:
    cluster = Cluster()
    for name in "abc":
        cluster.report(name, f"{name}:9001")
    cluster.report("polls", None)
    cluster.pokes.deaf = {"b"}
    assert cluster.waking.poke(["a", "b", "polls", "gone"]) == {"b", "polls", "gone"}
    assert cluster.pokes.poked == [({"a": "a:9001", "b": "b:9001"}, WORDS)]


def test_a_store_that_takes_long_to_list_a_large_cluster_holds_nobody_up() -> None:
    cluster = Cluster()
    for name in "abcd":
        cluster.report(name, f"{name}:9001")
    read = cluster.store.read

    def slowly(key: str) -> object:
        cluster.clock.time += timedelta(seconds=1)
        return read(key)

    cluster.store.read = slowly  # type: ignore[method-assign,assignment]
    cluster.everybody()
    assert cluster.pokes.poked == [({"a": "a:9001", "b": "b:9001"}, WORDS)]
