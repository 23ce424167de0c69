"""What the loop of a node keeps from one cycle to the next, as values."""

from dataclasses import replace
from datetime import timedelta

import pytest

from da_agent.domain.node import garbage, heartbeats
from da_agent.domain.node.cycles import SOON, Cycle
from da_agent.domain.node.heartbeats import HEARTBEAT, Told
from da_agent.domain.node.ledger_views import LedgerView, Newest, Source
from da_agent.domain.node.record_requests import RecordRequests
from da_agent.domain.node.reports import Phase
from da_agent.domain.node.rollout_snapshots import RolloutSnapshot
from da_agent.domain.rollout import rollouts
from da_agent.domain.rollout.rollouts import State
from tests.fakes import NOON
from tests.stored import RELEASE, REPORT, ROLLOUT

SECOND = timedelta(seconds=1)
NOW = timedelta(hours=1)
OPEN = replace(ROLLOUT, state=State.OPEN, closed=False)


# ---- a cycle


def test_a_cycle_forgets_what_the_one_before_has_found_and_keeps_its_problem_until_it_has_ended() -> None:
    before = Cycle().begun().heard().waiting_for("web-2 works").ended("the disk is full")
    begun = before.begun()
    assert (begun.answered, begun.waits, begun.problem) == (False, None, "the disk is full")
    assert begun.heard().ended(None) == Cycle(answered=True)


@pytest.mark.parametrize(
    ("cycle", "hands_back", "seconds"),
    [
        (Cycle(), False, timedelta(seconds=30)),
        (Cycle(), True, SOON),
        (Cycle().waiting_for("web-2 works"), False, SOON),
    ],
)
def test_the_next_cycle_comes_soon_while_something_is_left_to_do(
    cycle: Cycle, hands_back: bool, seconds: timedelta
) -> None:
    assert cycle.next_in(timedelta(seconds=30), hands_back=hands_back) == seconds


# ---- the report


@pytest.mark.parametrize(
    ("before", "now", "news"),
    [
        pytest.param(None, Told(REPORT), True, id="the first one"),
        pytest.param(Told(REPORT), Told(REPORT), False, id="the same"),
        pytest.param(Told(REPORT), Told(replace(REPORT, problem="full")), True, id="another problem"),
        pytest.param(
            Told(replace(REPORT, waiting="a pause")), Told(replace(REPORT, waiting="a slot")), False, id="other words"
        ),
        pytest.param(Told(REPORT), Told(REPORT, "web-2 works"), True, id="it waits"),
        pytest.param(Told(REPORT, "web-2 works"), Told(REPORT), True, id="it waits no longer"),
        pytest.param(Told(REPORT, "for 1 s"), Told(REPORT, "for 2 s"), False, id="it waits on"),
    ],
)
def test_a_report_is_sent_at_once_when_it_has_news(before: Told | None, now: Told, news: bool) -> None:
    assert now.is_news(before) is news


def test_a_node_that_converges_does_not_say_that_it_waits_for_another_process() -> None:
    serving = Told(replace(REPORT, phase=Phase.SERVING, activity=None), "web-2 works")
    assert serving.with_activity(None).activity == "web-2 works"
    assert serving.with_activity("downloading").activity == "downloading"
    assert replace(serving, report=replace(REPORT, phase=Phase.STAGING)).with_activity(None).activity is None


@pytest.mark.parametrize(("sent_at", "due"), [(None, True), (NOW - HEARTBEAT, True), (NOW - HEARTBEAT + SECOND, False)])
def test_the_heartbeat_is_due_again_and_again(sent_at: timedelta | None, due: bool) -> None:
    assert heartbeats.is_due(sent_at, now=NOW) is due


# ---- the ledger


KNOWN = LedgerView(newest=Newest(7, RELEASE), asked_at=NOW - SECOND)


@pytest.mark.parametrize(
    ("view", "record_tells", "is_over", "source"),
    [
        pytest.param(LedgerView(), True, False, Source.LISTING, id="nothing is known"),
        pytest.param(KNOWN, True, False, Source.RECORD, id="the record is read anyway"),
        pytest.param(KNOWN, False, False, Source.NEXT, id="the record is not read"),
        pytest.param(KNOWN, False, True, Source.NEXT, id="the record is closed"),
        pytest.param(
            replace(KNOWN, asked_at=NOW - rollouts.READ_PERIOD), True, False, Source.NEXT, id="the record may be wrong"
        ),
        pytest.param(replace(KNOWN, asked_at=NOW - garbage.CERTAIN), True, False, Source.LISTING, id="long ago"),
        pytest.param(KNOWN.unanswered(), True, False, Source.LISTING, id="the store was away"),
        pytest.param(
            KNOWN.asked(7, Source.NEXT, is_over=True, now=NOW),
            False,
            True,
            Source.LISTING,
            id="the next one is missing",
        ),
        pytest.param(
            KNOWN.asked(7, Source.LISTING, is_over=True, now=NOW).asked(7, Source.NEXT, is_over=True, now=NOW),
            False,
            True,
            Source.NEXT,
            id="and is not in the list",
        ),
    ],
)
def test_the_cheapest_request_that_cannot_miss_a_release(
    view: LedgerView, record_tells: bool, is_over: bool, source: Source
) -> None:
    assert view.source(record_tells=record_tells, is_over=is_over, now=NOW) is source


def test_a_release_is_offered_once_with_each_fallback_and_an_unreadable_one_is_read_again() -> None:
    assert LedgerView().needs_manifest(7)
    assert LedgerView().read(Newest(7, None, "damaged")).needs_manifest(7)
    assert not KNOWN.needs_manifest(7)
    assert KNOWN.needs_manifest(8)
    assert KNOWN.needs_offer(None)
    assert not KNOWN.offered(5).needs_offer(5)
    assert KNOWN.offered(5).needs_offer(4)
    assert KNOWN.offered(5).read(Newest(8, RELEASE)).needs_offer(5)


# ---- the rollout record


def test_what_was_asked_of_the_record_is_remembered_for_a_while() -> None:
    period, asked = 30 * SECOND, RecordRequests().read(NOW).asked(NOW - 20 * SECOND).listed(frozenset({"a"}), NOW)
    assert asked.has_read_within(period, NOW)
    assert asked.has_asked_within(period, NOW)
    assert not asked.has_asked_within(period, NOW + 10 * SECOND)
    assert asked.has_listed_within(period, NOW)
    assert not asked.without_nodes().has_listed_within(period, NOW)
    assert asked.without_nodes().nodes == frozenset()
    assert [each.has_claimed for each in (asked, asked.claimed(), asked.claimed().gave_back())] == [False, True, False]


def test_a_denied_claim_stays_denied_while_the_record_is_the_same_and_the_node_patient() -> None:
    denied = RolloutSnapshot(OPEN, 3).refused("others first")
    assert denied.read(OPEN, patient=True).denied == "others first"
    assert denied.read(OPEN, patient=False).denied is None
    assert denied.read(replace(OPEN, generation=99), patient=True).denied is None
    assert denied.changed(OPEN).denied is None
    assert denied.read_period == timedelta()


def test_the_fallback_holds_for_the_same_release_in_the_same_state_without_what_was_rejected_meanwhile() -> None:
    view = RolloutSnapshot(OPEN, 3, skip=frozenset({2}))
    assert view.has_fallback_for(replace(OPEN, generation=99), frozenset({2}))
    assert not view.has_fallback_for(OPEN, frozenset())
    assert not view.has_fallback_for(replace(OPEN, state=State.QUARANTINED), frozenset({2}))
    assert not view.has_fallback_for(replace(OPEN, release=OPEN.release + 1), frozenset({2}))


def test_decisions_see_the_view_at_the_time_of_the_store() -> None:
    cluster = RolloutSnapshot(OPEN, 3).counted(4).refused("no").cluster("web-1", at=NOON, excluded="a twin")
    assert (cluster.rollout, cluster.fallback, cluster.others, cluster.denied) == (OPEN, 3, 4, "no")
    assert (cluster.node, cluster.at, cluster.excluded) == ("web-1", NOON, "a twin")
