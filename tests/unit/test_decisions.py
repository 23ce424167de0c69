"""What a node does next."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from da_agent.domain import decisions
from da_agent.domain.decisions import (
    Accept,
    Observation,
    Prove,
    Recover,
    Rehearse,
    Rest,
    Revert,
    Settle,
    Stage,
    Start,
    Switch,
)
from da_agent.domain.journals import Journal
from da_agent.domain.proofs import Answer, Wanted, Worker, prove

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WORKERS = frozenset({Worker(10, 1.0), Worker(11, 1.0)})
SERVING = Observation(
    now=NOW,
    offered=(5,),
    current=5,
    journal=Journal(live=5),
    staged=frozenset({4, 5}),
    running=True,
    workers=WORKERS,
    proven=WORKERS,
)
BEHIND = replace(SERVING, offered=(6,))
STAGED = replace(BEHIND, staged=frozenset({5, 6}))
TRIAL = replace(
    STAGED,
    current=6,
    journal=Journal(live=5).begin(6, until=NOW + timedelta(seconds=60)),
    conducting=True,
    rehearsed=frozenset({6}),
)
SIX = Wanted(6, "f6")
GOOD = prove(SIX, WORKERS, [Answer(10, 6, "f6"), Answer(11, 6, "f6")])
PARTIAL = prove(SIX, WORKERS, [Answer(10, 6, "f6")])
BROKEN = prove(SIX, WORKERS, [Answer(10, 6, "f6", "ImportError: no module named x")])
OLD = prove(SIX, WORKERS, [Answer(10, 5, "f5"), Answer(11, 6, "f6")])
LATE = NOW + timedelta(seconds=61)


@pytest.mark.parametrize(
    ("seen", "action"),
    [
        pytest.param(SERVING, Rest(), id="serving the wanted release"),
        pytest.param(replace(SERVING, offered=()), Rest(), id="the store does not answer"),
        pytest.param(BEHIND, Stage(6), id="behind"),
        pytest.param(replace(SERVING, staged=frozenset()), Rest(), id="damaged, and it is being served"),
        pytest.param(
            replace(SERVING, staged=frozenset(), running=False, workers=frozenset()),
            Stage(5),
            id="damaged, nobody serves",
        ),
        pytest.param(
            replace(SERVING, staged=frozenset(), journal=Journal(live=5).give_up(5, "no blob", at=NOW)),
            Rest(),
            id="damaged, and it cannot be staged again",
        ),
        pytest.param(
            replace(BEHIND, current=None, journal=Journal().give_up(6, "no database", at=NOW)),
            Rest(),
            id="the first release was given up just now",
        ),
        pytest.param(
            replace(BEHIND, current=None, journal=Journal().give_up(6, "no database", at=NOW), now=LATE),
            Stage(6),
            id="the first release was given up a while ago",
        ),
        pytest.param(
            replace(SERVING, journal=Journal().give_up(5, "too slow", at=NOW)),
            Accept(5),
            id="the first release serves after all",
        ),
        pytest.param(STAGED, Rehearse(6), id="staged"),
        pytest.param(replace(STAGED, rehearsed=frozenset({6})), Switch(6), id="rehearsed"),
        pytest.param(TRIAL, Prove(6), id="switched"),
        pytest.param(replace(TRIAL, running=False), Start(), id="the web server does not run in a trial"),
        pytest.param(replace(TRIAL, proof=PARTIAL), Prove(6), id="not every worker has answered"),
        pytest.param(replace(TRIAL, proof=OLD), Prove(6), id="a worker still serves the old release"),
        pytest.param(replace(TRIAL, proof=GOOD), Settle(), id="every worker has answered"),
        pytest.param(replace(TRIAL, proof=GOOD, now=LATE), Settle(), id="proven in the last moment"),
        pytest.param(replace(TRIAL, conducting=False), Recover(), id="a trial that another process began"),
        pytest.param(replace(SERVING, running=False), Start(), id="the web server has ended"),
        pytest.param(replace(SERVING, proven=frozenset()), Prove(5), id="after a restart of the agent"),
        pytest.param(
            replace(SERVING, workers=WORKERS | {Worker(12, 2.0)}), Prove(5), id="a worker process that is new"
        ),
        pytest.param(replace(SERVING, workers=frozenset({Worker(10, 9.0)})), Prove(5), id="a pid that was given again"),
        pytest.param(
            replace(SERVING, staged=frozenset({4}), running=False, workers=frozenset()),
            Stage(5),
            id="the live release is damaged, nobody serves it, and it can be had again",
        ),
        pytest.param(
            replace(SERVING, staged=frozenset({4}), offered=()), Rest(), id="damaged, and the store does not answer"
        ),
        pytest.param(Observation(NOW, (), None, Journal()), Rest(), id="an empty node that knows of no release"),
        pytest.param(Observation(NOW, (1,), None, Journal()), Stage(1), id="an empty node"),
        pytest.param(
            replace(SERVING, journal=Journal(live=None), rehearsed=frozenset({5})),
            Switch(5),
            id="a live release that was never proven",
        ),
    ],
)
def test_the_next_action(seen: Observation, action: decisions.Action) -> None:
    assert decisions.decide(seen) == action


def test_a_release_that_the_store_could_not_give_is_tried_again_after_a_while() -> None:
    spoilt = replace(BEHIND, journal=BEHIND.journal.give_up(6, "other bytes", at=NOW, lasting=False))
    assert decisions.decide(spoilt) == Rest()
    assert decisions.decide(replace(spoilt, now=LATE)) == Stage(6)


def test_a_release_that_failed_here_is_not_tried_again() -> None:
    failed = BEHIND.journal.give_up(6, "bad", at=NOW)
    assert decisions.decide(replace(BEHIND, journal=failed, now=LATE)) == Rest()
    assert decisions.decide(replace(BEHIND, journal=failed)) == Rest()


def test_a_fresh_node_takes_the_newest_release_that_has_not_failed() -> None:
    seen = Observation(NOW, (6, 5), None, Journal().give_up(6, "bad", at=NOW))
    assert decisions.decide(seen) == Stage(5)


def test_a_broken_application_is_taken_back_at_once_and_a_slow_one_when_its_time_is_over() -> None:
    broken = decisions.decide(replace(TRIAL, proof=BROKEN))
    assert isinstance(broken, Revert)
    assert "no module named x" in broken.reason
    slow = decisions.decide(replace(TRIAL, proof=PARTIAL, now=LATE))
    assert isinstance(slow, Revert)
    assert "11" in slow.reason


def test_the_only_release_of_a_node_is_served_although_it_failed() -> None:
    seen = replace(SERVING, journal=Journal().give_up(5, "slow", at=NOW), running=False)
    assert decisions.decide(seen) == Start()


def test_an_interrupted_trial_is_tried_once_more_and_then_counted() -> None:
    once = TRIAL.journal.interrupt()
    assert once.trial is None
    again = once.begin(6, until=LATE)
    assert again.trial is not None
    assert again.trial.attempt == 2
    other = once.begin(7, until=LATE)
    assert other.trial is not None
    assert other.trial.attempt == 1


def test_a_settled_trial_is_the_live_release() -> None:
    assert TRIAL.journal.settle() == Journal(live=6)


def test_a_release_that_the_web_server_refuses_is_taken_back_at_once() -> None:
    assert decisions.decide(replace(TRIAL, refused="it was not loaded in time")) == Revert("it was not loaded in time")


def test_a_refusal_outside_a_trial_takes_nothing_back() -> None:
    assert decisions.decide(replace(SERVING, refused="it was not loaded in time")) == Rest()
