"""What the cluster thinks of a release, and of the nodes that have tried it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from da_agent.domain.config.strategies import Strategy
from da_agent.domain.rollout import rollouts, slots, verdicts
from da_agent.domain.rollout.rollouts import Rollout, State
from tests.records import ADMIN, LATER, LIVE, NOW, ONCE, OPEN, claim, failed, granted, reported_unhealthy, updated


def test_one_machine_may_be_switched_off_whatever_is_allowed_but_not_one_after_the_other() -> None:
    strict = replace(OPEN, strategy=Strategy(max_failures=0))
    for number, (node, state) in enumerate([("web-1", State.OPEN), ("web-2", State.QUARANTINED)]):
        now = NOW + number * timedelta(seconds=400)
        strict = granted(claim(strict, node, now=now))
        looked = verdicts.reviewed(strict, "web-4", LIVE, now=now + timedelta(seconds=399))
        assert looked.state is state
    assert failed(replace(OPEN, strategy=Strategy(max_failures=0)), "web-1").state is State.QUARANTINED


def test_a_slot_that_was_never_begun_is_no_failure() -> None:
    assert granted(claim(granted(claim(ONCE, "web-1")), "web-2", now=LATER)).failures == ()


def test_a_machine_that_comes_back_and_serves_is_forgiven() -> None:
    begun = granted(claim(OPEN, "web-1"))
    assert updated(granted(claim(begun, "web-2", now=LATER)), "web-1").failures == ()


def test_more_failures_than_allowed_quarantine_the_release() -> None:
    bad = failed(OPEN, "web-1", "web-2")
    assert (failed(OPEN, "web-1").state, bad.state) == (State.OPEN, State.QUARANTINED)
    assert bad.verdict is not None
    assert bad.verdict.reason == "web-1: it answers 500; web-2: it answers 500"
    assert bad.failures[0].log == ("a line",)


def test_a_node_that_fails_twice_is_one_failure() -> None:
    assert failed(OPEN, "web-1", "web-1").state is State.OPEN


LENIENT = replace(OPEN, strategy=Strategy(max_failures=5))


@pytest.mark.parametrize(
    ("record", "live", "heard", "state"),
    [
        pytest.param(failed(updated(OPEN, "web-1"), "web-2"), "2", "2", State.QUARANTINED, id="the dead prove nothing"),
        pytest.param(
            reported_unhealthy(updated(OPEN, "web-1"), "web-2"),
            "2",
            "2",
            State.OPEN,
            id="nobody is left to say anything",
        ),
        pytest.param(
            failed(updated(OPEN, "web-1"), "web-2"), "12", "12", State.STABLE, id="as many serve it as failed"
        ),
        pytest.param(
            failed(updated(LENIENT, "web-1"), *LIVE[1:]),
            "1234",
            "1234",
            State.QUARANTINED,
            id="more failed than serve it",
        ),
        pytest.param(failed(updated(OPEN, "web-1"), "web-2"), "12", "2", State.OPEN, id="who serves it is not heard"),
        pytest.param(updated(OPEN, "web-1", "web-2"), "12", "2", State.STABLE, id="nothing speaks against it"),
    ],
)
def test_those_speak_for_a_release_that_serve_it_and_are_heard(
    record: Rollout, live: str, heard: str, state: State
) -> None:
    there, known = ([f"web-{number}" for number in numbers] for numbers in (live, heard))
    assert verdicts.judged(replace(record, state=State.OPEN), there, now=NOW, heard=known).state is state


def test_when_everybody_has_failed_there_is_nobody_else_to_ask() -> None:
    assert verdicts.failed(OPEN, "web-1", "no", (), ["web-1"], now=NOW).state is State.QUARANTINED


@pytest.mark.parametrize(
    ("record", "state"),
    [
        pytest.param(
            reported_unhealthy(failed(OPEN, "web-1"), "web-2", "web-3"), State.OPEN, id="one is still to come"
        ),
        pytest.param(reported_unhealthy(failed(OPEN, "web-1"), *LIVE[1:]), State.QUARANTINED, id="the rest are sick"),
        pytest.param(
            failed(reported_unhealthy(OPEN, *LIVE[1:]), "web-1"), State.QUARANTINED, id="the rest were sick before"
        ),
        pytest.param(
            failed(reported_unhealthy(updated(OPEN, "web-2"), *LIVE[2:]), "web-1"), State.STABLE, id="one serves it"
        ),
        pytest.param(reported_unhealthy(OPEN, *LIVE), State.OPEN, id="nobody can say anything of the release"),
        pytest.param(
            reported_unhealthy(replace(OPEN, failures=(rollouts.NodeFailure("web-9", "gone", NOW, lost=True),)), *LIVE),
            State.OPEN,
            id="a machine that was switched off alone condemns nothing",
        ),
    ],
)
def test_when_nobody_is_left_who_could_move_those_that_failed_decide(record: Rollout, state: State) -> None:
    assert record.state is state


@pytest.mark.parametrize(
    ("record", "stuck"),
    [
        pytest.param(reported_unhealthy(OPEN, *LIVE), True, id="all are sick"),
        pytest.param(reported_unhealthy(OPEN, *LIVE[1:]), False, id="one can still move"),
        pytest.param(reported_unhealthy(OPEN, *LIVE, now=LATER), False, id="they have only just said so"),
        pytest.param(
            reported_unhealthy(reported_unhealthy(OPEN, *LIVE), *LIVE, now=LATER), True, id="they say so once more"
        ),
        pytest.param(rollouts.pause(reported_unhealthy(OPEN, *LIVE), ADMIN), False, id="paused"),
        pytest.param(rollouts.closed(reported_unhealthy(OPEN, *LIVE), now=NOW), False, id="a newer release has come"),
    ],
)
def test_a_rollout_is_stuck_when_every_node_has_been_sick_for_a_while(record: Rollout, stuck: bool) -> None:
    assert verdicts.is_stuck(record, LIVE, now=LATER) is stuck


def test_a_release_is_stable_when_every_live_node_has_moved() -> None:
    assert updated(OPEN, "web-1", "web-2", "web-3").state is State.OPEN
    assert updated(OPEN, *LIVE).state is State.STABLE


def test_a_node_that_is_sick_itself_holds_nobody_up_and_condemns_nothing() -> None:
    unhealthy = verdicts.reported_unhealthy(OPEN, "web-1", "the disk is full", LIVE, now=NOW)
    unhealthy = verdicts.reported_unhealthy(unhealthy, "web-2", "the disk is full", LIVE, now=NOW)
    assert unhealthy.state is State.OPEN
    assert updated(unhealthy, "web-3", "web-4").state is State.STABLE


def test_a_node_that_died_holds_up_the_verdict_only_until_somebody_looks() -> None:
    three = updated(OPEN, "web-1", "web-2", "web-3")
    assert not verdicts.review_is_due(three, "web-1", now=NOW)
    assert verdicts.review_is_due(three, "web-1", now=NOW + timedelta(seconds=16))
    assert not verdicts.review_is_due(three, "web-2", now=NOW + timedelta(seconds=16))
    assert verdicts.reviewed(three, "web-1", LIVE[:3], now=NOW).state is State.STABLE


def test_after_an_outage_of_the_store_nobody_is_condemned_for_not_being_heard() -> None:
    begun = granted(claim(OPEN, "web-1"))
    asked = slots.claim(begun, "web-2", 7, LIVE, now=LATER, reason="update", joining=False, sure=False)
    assert granted(asked).failures == ()
    assert granted(claim(granted(asked), "web-3", now=LATER + timedelta(seconds=400))).failures != ()
