"""Whether the store that an admin names is the one that it was."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from da_agent.domain.node.reports import Phase, Report
from da_agent.domain.node.used_stores import Used, behind_use
from da_agent.errors import Unreachable
from da_agent.workflows.records import reports
from da_agent.workflows.upkeep.recognitions import remember
from tests import built
from tests.built import recognise
from tests.fake_nodes import release
from tests.fakes import MemoryStore

REPORT = Report("web-1", "host", "address", 2, 2, Phase.SERVING, None, "0", "3.11", datetime(2026, 1, 1, tzinfo=UTC))


class MemoryUsedStores:
    """Implements ports.UsedStores."""

    def __init__(self) -> None:
        self.kept: dict[str, Used] = {}

    def load(self, url: str) -> Used | None:
        return self.kept.get(url)

    def save(self, used: Used) -> None:
        self.kept[used.url] = used

    def place(self, url: str) -> str:
        return f"/kept/{url}"


def with_releases(count: int) -> MemoryStore:
    store = MemoryStore()
    for number in range(1, count + 1):
        built.ledger(store).append(release(number))
    return store


@pytest.mark.parametrize(("releases", "has"), [(0, "no release"), (1, "releases up to 1")])
def test_a_store_that_lacks_what_this_node_has_served_is_refused(releases: int, has: str) -> None:
    with pytest.raises(Unreachable, match=f"has {has}, but this node has served release 2"):
        recognise(with_releases(releases), 2, None)
    assert recognise(with_releases(2), 2, None) == 2
    assert recognise(with_releases(3), 2, None) == 3


@pytest.mark.parametrize(("releases", "has"), [(0, "no release"), (1, "releases up to 1")])
def test_a_store_that_lacks_what_a_node_reports_is_refused(releases: int, has: str) -> None:
    store = with_releases(releases)
    reports.send(store, replace(REPORT, node="web-0", release=None))
    reports.send(store, REPORT)
    with pytest.raises(Unreachable, match=f"it has {has}, but web-1 reports release 2"):
        recognise(store, None, None)
    full = with_releases(2)
    reports.send(full, REPORT)
    assert recognise(full, None, None) == 2


def test_a_store_in_another_place_is_refused_when_it_has_fewer_releases() -> None:
    used = MemoryUsedStores()
    # Both live at the same time, or they could have one identity.
    before = with_releases(2)
    remember(before, 2, used)
    with pytest.raises(Unreachable) as refused:
        recognise(with_releases(0), None, used)
    assert "it has no release and is memory" in str(refused.value)
    assert "with release 2 it was memory" in str(refused.value)
    assert str(refused.value).endswith("to start over in this one, rm /kept/memory://store")
    with pytest.raises(Unreachable):
        recognise(with_releases(1), None, used)
    # It was moved, and nothing is lost.
    assert recognise(with_releases(2), None, used) == 2


def test_a_store_that_was_emptied_in_its_place_may_be_filled_anew() -> None:
    used = MemoryUsedStores()
    store = with_releases(2)
    remember(store, 2, used)
    for entry in list(store.scan("")):
        store.delete(entry.key)
    assert recognise(store, None, used) is None


def test_a_store_that_was_never_used_says_nothing() -> None:
    assert recognise(MemoryStore(), None, MemoryUsedStores()) is None
    assert behind_use("store", None, "here", None, "place") is None
