"""Nodes that sign off, and nodes that an admin removes."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from da_agent.domain.display import why
from da_agent.domain.node.reports import SILENT, Phase, Report
from da_agent.domain.rollout import slots
from da_agent.domain.rollout.rollouts import Denied
from da_agent.domain.store import keys
from da_agent.errors import Invalid, NotFound, Unreachable
from da_agent.ports import Condition
from da_agent.workflows.admin import statuses
from da_agent.workflows.records import reports
from tests import built
from tests.fake_nodes import release
from tests.fakes import MemoryStore

STARTED = datetime(2026, 1, 1, tzinfo=UTC)
REPORT = Report("a", "host", "address", 1, 1, Phase.SERVING, None, "0", "3.11", STARTED)
LONG = SILENT + timedelta(seconds=1)


class Cut(MemoryStore):
    """Goes away before change number `cut`, counted from 0 on when that is set."""

    cut: int | None = None

    def write(self, key: str, body: bytes | Path, when: Condition) -> str:
        self._count()
        return super().write(key, body, when)

    def delete(self, key: str) -> None:
        self._count()
        super().delete(key)

    def _count(self) -> None:
        if self.cut is None:
            return
        self.cut -= 1
        if self.cut < 0:
            raise Unreachable("the store has gone")


class Cluster:
    """Nodes a and b; a has its turn for the newest release, and nobody else may have one."""

    def __init__(self) -> None:
        self.store = Cut()
        nonces = iter(range(1000))
        self.rollouts = built.rollouts(self.store, lambda: str(next(nonces)))
        built.ledger(self.store).append(release(1))
        self.rollouts.open(1, None)
        self.report("a", "b")
        assert self.claim("a")

    def report(self, *nodes: str) -> None:
        for node in nodes:
            reports.send(self.store, replace(REPORT, node=node))

    def claim(self, node: str) -> bool:
        _, denied = self.rollouts.change(
            1,
            lambda record, nodes, now: slots.claim(
                record, node, 1, nodes.lately, now=now, reason="release 1", joining=False
            ),
            node=node,
        )
        return denied is None

    def phases(self) -> dict[str, Phase]:
        return {each.report.node: each.report.phase for each in built.reports(self.store).known()}

    def sign_off(self, node: str) -> None:
        built.departures(self.store, self.rollouts).sign_off(node, "")

    def forget(self, node: str) -> None:
        built.departures(self.store, self.rollouts).forget(node)


def test_a_node_that_has_signed_off_is_shown_as_left_and_counts_no_more() -> None:
    cluster = Cluster()
    cluster.sign_off("a")
    assert cluster.phases() == {"a": Phase.LEFT, "b": Phase.SERVING}
    assert cluster.rollouts.live() == ("b",)
    assert cluster.rollouts.nodes().ever == {"b"}
    assert [each.report.node for each in built.node_statuses(cluster.store)] == ["b"]
    there = built.cluster(cluster.store, cluster.rollouts)
    assert there.live == ("b",)
    assert statuses.explain(there, "a").startswith("a ran release 1 when it was told to stop, and left 0 s ago.")
    assert "da-agent forget a removes it for good." in statuses.explain(there, "a")


def test_a_node_that_has_left_is_never_silent() -> None:
    cluster = Cluster()
    cluster.sign_off("a")
    cluster.store.now += timedelta(days=1)
    (left,) = (each for each in built.reports(cluster.store).known() if each.report.node == "a")
    assert "silent" not in why.why("a", left, None, None, (), now=cluster.store.now)


def test_the_slot_of_a_node_that_has_signed_off_is_another_s() -> None:
    cluster = Cluster()
    assert not cluster.claim("b")
    cluster.sign_off("a")
    assert cluster.claim("b")
    record = cluster.rollouts.read(1)
    assert record is not None
    assert record.failures == ()


def test_a_node_that_comes_back_has_not_left() -> None:
    cluster = Cluster()
    cluster.sign_off("a")
    cluster.report("a")
    assert cluster.phases() == {"a": Phase.SERVING, "b": Phase.SERVING}
    assert cluster.rollouts.live() == ("a", "b")
    cluster.sign_off("a")
    assert cluster.phases()["a"] is Phase.LEFT


def test_a_node_that_never_reported_signs_off_without_a_trace() -> None:
    cluster = Cluster()
    before = list(cluster.store.scan(""))
    cluster.sign_off("c")
    assert list(cluster.store.scan("")) == before


def test_a_node_that_is_forgotten_is_shown_no_more_and_its_slot_is_another_s() -> None:
    cluster = Cluster()
    cluster.store.now += LONG
    cluster.report("b")
    assert not cluster.claim("b")
    cluster.forget("a")
    assert cluster.phases() == {"b": Phase.SERVING}
    assert cluster.claim("b")
    with pytest.raises(NotFound, match=r"cannot forget node a: .* does not know it; the nodes are b$"):
        cluster.forget("a")


def test_a_node_that_has_left_can_be_forgotten_at_once() -> None:
    cluster = Cluster()
    cluster.sign_off("a")
    cluster.forget("a")
    assert cluster.phases() == {"b": Phase.SERVING}


def test_a_node_that_is_alive_cannot_be_forgotten() -> None:
    cluster = Cluster()
    before = list(cluster.store.scan(""))
    with pytest.raises(Invalid, match=r"^cannot forget node a: it is alive, and reports\. Stop it first"):
        cluster.forget("a")
    assert list(cluster.store.scan("")) == before


@pytest.mark.parametrize("act", [Cluster.sign_off, Cluster.forget])
def test_what_is_cut_anywhere_can_be_repeated(act: Callable[[Cluster, str], None]) -> None:
    for cut in range(100):
        cluster = Cluster()
        cluster.store.now += LONG
        cluster.report("b")
        cluster.store.cut = cut
        try:
            act(cluster, "a")
        except Unreachable:
            assert "a" in cluster.phases()
            cluster.store.cut = None
            act(cluster, "a")
        else:
            assert cut >= 3, "it was never cut"
            break
        assert keys.node_key("a") not in [entry.key for entry in cluster.store.scan(keys.NODES)]
        assert cluster.claim("b")


def test_a_slot_that_is_refused_is_refused_for_a_reason() -> None:
    """The fixture of this file: without it a turn would be free all the time."""
    cluster = Cluster()
    record = cluster.rollouts.read(1)
    assert record is not None
    denied = slots.claim(record, "b", 1, ("a", "b"), now=cluster.store.now, reason="release 1", joining=False)
    assert denied == Denied("updating: a")
