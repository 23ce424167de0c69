"""Who is notified, and what happens when that fails: nothing."""

from dataclasses import dataclass, field
from datetime import timedelta

from da_agent.domain.node.notifications import Contact, Key, contact
from da_agent.domain.node.reports import Phase, Report
from da_agent.domain.store import keys
from da_agent.errors import AgentError, Invalid, Unreachable
from da_agent.ports import Always
from da_agent.workflows.records import reports
from da_agent.workflows.records.notifications import Notifications
from tests import built
from tests.fakes import NOON, FakeClock, FakeNotifier, MemoryStore

KEY = Key(b"of this cluster")


@dataclass
class Cluster:
    store: MemoryStore = field(default_factory=MemoryStore)
    notifier: FakeNotifier = field(default_factory=FakeNotifier)
    clock: FakeClock = field(default_factory=FakeClock)
    key: Key | AgentError | None = KEY

    def report(self, name: str, address: str | None) -> None:
        self.forge(name, None if address is None else contact(name, address, KEY))

    def forge(self, name: str, there: Contact | None) -> None:
        sent = Report(name, "host", "address", 1, 1, Phase.SERVING, None, "0", "3.11", NOON, contact=there)
        reports.send(self.store, sent)

    def known(self) -> Key | None:
        if isinstance(self.key, AgentError):
            raise self.key
        return self.key

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
    assert cluster.notifier.poked == [({"a": ("10.0.0.2", 9001), "b": ("10.0.0.3", 9001)}, KEY)]


def test_nothing_is_sent_where_only_a_forged_report_says_so() -> None:
    cluster = Cluster()
    cluster.report("a", "10.0.0.2:9001")
    cluster.forge("b", Contact("203.0.113.5:9001", "0" * 64))
    cluster.forge("c", contact("c", "203.0.113.5:9001", Key(b"of another cluster")))
    cluster.forge("d", contact("a", "10.0.0.2:9001", KEY))
    assert cluster.everybody() == frozenset()
    assert cluster.notifications.notify(["a", "b", "c", "d"]) == {"b", "c", "d"}
    assert cluster.notifier.poked == [({"a": ("10.0.0.2", 9001)}, KEY)] * 2


def test_whoever_cannot_be_reached_is_named() -> None:
    cluster = Cluster()
    cluster.report("a", "10.0.0.2:9001")
    cluster.report("b", "10.0.0.3:9001")
    cluster.notifier.deaf = {"b"}
    assert cluster.everybody() == {"b"}


def test_nobody_is_poked_without_a_key_or_without_a_store() -> None:
    cluster = Cluster()
    cluster.report("a", "10.0.0.2:9001")
    for key in (None, Invalid("of no use"), Unreachable("no answer")):
        cluster.key = key
        assert cluster.everybody() == frozenset()
        assert cluster.notifications.notify(["a"]) == {"a"}
    cluster.key = KEY
    cluster.store.failing = Unreachable("no answer")
    assert cluster.everybody() == frozenset()
    assert cluster.notifier.poked == []


def test_only_those_whose_slot_has_come_are_poked() -> None:
    cluster = Cluster()
    for name in "abc":
        cluster.report(name, "10.0.0.1:9001")
    cluster.report("polls", None)
    cluster.notifier.deaf = {"b"}
    assert cluster.notifications.notify(["a", "b", "polls", "gone"]) == {"b", "polls", "gone"}
    assert cluster.notifier.poked == [({"a": ("10.0.0.1", 9001), "b": ("10.0.0.1", 9001)}, KEY)]


def test_a_store_that_takes_long_to_list_a_large_cluster_holds_nobody_up() -> None:
    cluster = Cluster()
    for name in "abcd":
        cluster.report(name, "10.0.0.1:9001")
    read = cluster.store.read

    def slowly(key: str) -> object:
        cluster.clock.time += timedelta(seconds=1)
        return read(key)

    cluster.store.read = slowly  # type: ignore[method-assign,assignment]
    cluster.everybody()
    assert cluster.notifier.poked == [({"a": ("10.0.0.1", 9001), "b": ("10.0.0.1", 9001)}, KEY)]
