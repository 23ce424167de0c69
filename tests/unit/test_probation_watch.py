"""What a process remembers of the probation that it began."""

from datetime import UTC, datetime, timedelta

import pytest

from da_agent.domain.node.node_states import NodeState, Probation
from da_agent.domain.node.observations import Observation
from da_agent.domain.node.probation_watch import ProbationWatch

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PROBATION = Probation(6, 5, NOW)


def at(seconds: float) -> timedelta:
    return timedelta(hours=1, seconds=seconds)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


WATCH = ProbationWatch(PROBATION, at(60), min_healthy=seconds(2))
READY = WATCH.ready(seconds(10), at(5))


def test_a_new_process_has_begun_no_probation() -> None:
    assert not ProbationWatch().is_of(6)
    assert WATCH.is_of(6)
    assert not WATCH.is_of(5)


@pytest.mark.parametrize(
    ("watch", "written", "conducts"),
    [
        pytest.param(WATCH, PROBATION, True, id="it began this one"),
        pytest.param(ProbationWatch(), PROBATION, False, id="it began none"),
        pytest.param(WATCH, Probation(6, 5, NOW, attempt=2), False, id="another process has begun a later one"),
        pytest.param(WATCH, None, False, id="another process has ended it"),
        pytest.param(ProbationWatch(), None, False, id="there is none"),
    ],
)
def test_a_process_conducts_the_probation_that_it_began(
    watch: ProbationWatch, written: Probation | None, conducts: bool
) -> None:
    assert Observation(NOW, NodeState(probation=written), watch=watch).conducts is conducts


@pytest.mark.parametrize(
    ("asked_at", "now", "over"),
    [
        pytest.param((), 61, False, id="a suspended machine has not asked"),
        pytest.param((59,), 61, False, id="asked too early"),
        pytest.param((60,), 60, True, id="asked once at the end"),
        pytest.param((59, 300), 300, True, id="asked once after it stood still"),
    ],
)
def test_a_probation_is_over_once_the_workers_were_asked_after_its_end(
    asked_at: tuple[float, ...], now: float, over: bool
) -> None:
    watch = WATCH
    for moment in asked_at:
        watch = watch.asked(at(moment))
    assert watch.is_over(at(now)) is over


@pytest.mark.parametrize(
    ("watch", "now", "left"),
    [
        pytest.param(WATCH, 20, 40, id="not ready: as long as the probation"),
        pytest.param(READY, 5, 10, id="from readiness on"),
        pytest.param(READY.ready(seconds(10), at(12)), 12, 3, id="a worker that was replaced gives no more time"),
        pytest.param(WATCH.ready(seconds(10), at(58)), 58, 2, id="never longer than the probation"),
        pytest.param(READY, 20, -5, id="over"),
    ],
)
def test_the_time_to_become_healthy_begins_once(watch: ProbationWatch, now: float, left: float) -> None:
    assert watch.health_left(at(now)) == seconds(left)


def test_the_health_deadline_is_over_once_the_checks_were_made_after_it() -> None:
    assert not READY.checking(at(14)).is_health_over(at(16))
    late = READY.checking(at(15))
    assert late.is_health_over(at(15))
    assert not late.is_over(at(15)), "the probation goes on"


def test_a_release_is_healthy_when_its_checks_have_passed_for_long_enough_without_a_break() -> None:
    healthy = READY.checked(None, at(6)).checked(None, at(7))
    assert (healthy.is_healthy(at(7.9)), healthy.healthy_left(at(7))) == (False, seconds(1))
    assert (healthy.is_healthy(at(8)), healthy.healthy_left(at(9))) == (True, seconds(0))
    broken = healthy.checked("/ answers 500", at(7.5))
    assert (broken.is_healthy(at(9)), broken.failing_check) == (False, "/ answers 500")
    again = broken.checked(None, at(9))
    assert (again.is_healthy(at(10)), again.is_healthy(at(11)), again.failing_check) == (False, True, None)


def test_a_worker_that_has_yet_to_answer_interrupts_health() -> None:
    assert not READY.checked(None, at(6)).unanswered().is_healthy(at(60))


def test_without_a_least_time_one_round_of_checks_is_enough() -> None:
    watch = ProbationWatch(PROBATION, at(60))
    assert not watch.is_healthy(at(1))
    assert watch.checked(None, at(1)).is_healthy(at(1))


def test_the_web_server_has_failed_since_it_failed_first() -> None:
    assert not WATCH.has_failed_for(seconds(0), at(0))
    watch = WATCH.failed(at(1)).failed(at(4))
    assert not watch.has_failed_for(seconds(5), at(5))
    assert watch.has_failed_for(seconds(5), at(6))


def test_what_others_have_quarantined_stays_so() -> None:
    assert WATCH.condemned().asked(at(1)).checked(None, at(2)).quarantined
