"""Who is notified, and what happens when that fails: nothing."""

from dataclasses import dataclass, field
from datetime import timedelta

from da_agent.domain.node.reports import Phase, Report
from da_agent.domain.node.rpc_ports import Credentials
from da_agent.domain.store import keys
from da_agent.errors import AgentError, Invalid, Unreachable
from da_agent.ports import Always
from da_agent.workflows.records import reports
from da_agent.workflows.records.notifications import Notifications
from tests import built
from tests.fakes import NOON, FakeClock, FakeNotifier, MemoryStore

WORDS = Credentials("admin", "word")


@dataclass
class Cluster:
    store: MemoryStore = field(default_factory=MemoryStore)
    notifier: FakeNotifier = field(default_factory=FakeNotifier)
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
    def notifications(self) -> Notifications:
        return built.notifications(self.store, self.notifier, self.known, self.clock)

    def everybody(self) -> frozenset[str]:
        return self.notifications.wake(self.notifications.alive())


def test_those_who_have_lately_said_where_they_can_be_poked_are_poked_all_at_once() -> None:
    cluster = Cluster()
    cluster.report("silent", "10.0.0.1:9001")
    cluster.store.now += timedelta(seconds=101)
    cluster.report("a", "10.0.0.2:9001")
    cluster.report("b", "10.0.0.3:9001")
    cluster.report("polls", None)
    cluster.store.write(keys.node_key("damaged"), b"{", Always())
    assert cluster.everybody() == frozenset()
    assert cluster.notifier.poked == [({"a": "10.0.0.2:9001", "b": "10.0.0.3:9001"}, WORDS)]


def test_whoever_cannot_be_reached_is_named() -> None:
    cluster = Cluster()
    cluster.report("a", "10.0.0.2:9001")
    cluster.report("b", "10.0.0.3:9001")
    cluster.notifier.deaf = {"b"}
    assert cluster.everybody() == {"b"}


def test_nobody_is_poked_without_credentials_or_without_a_store() -> None:
    cluster = Cluster()
    cluster.report("a", "10.0.0.2:9001")
    for credentials in (None, Invalid("of no use"), Unreachable("no answer")):
        cluster.credentials = credentials
        assert cluster.everybody() == frozenset()
        assert cluster.notifications.notify(["a"]) == {"a"}
    cluster.credentials = WORDS
    cluster.store.failing = Unreachable("no answer")
    assert cluster.everybody() == frozenset()
    assert cluster.notifier.poked == []


def test_only_those_whose_slot_has_come_are_poked() -> None:
    cluster = Cluster()
    for name in "abc":
        cluster.report(name, f"{name}:9001")
    cluster.report("polls", None)
    cluster.notifier.deaf = {"b"}
    assert cluster.notifications.notify(["a", "b", "polls", "gone"]) == {"b", "polls", "gone"}
    assert cluster.notifier.poked == [({"a": "a:9001", "b": "b:9001"}, WORDS)]


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
    assert cluster.notifier.poked == [({"a": "a:9001", "b": "b:9001"}, WORDS)]
