"""The record of a rollout: what it takes over, what it tells, what people say in it."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from da_agent.domain.config.strategies import Strategy
from da_agent.domain.rollout import rollouts, slots, verdicts
from da_agent.domain.rollout.rollouts import Denied, Rollout, State
from tests.records import ADMIN, LIVE, NOW, OPEN, claim, failed, granted, updated


def after(*states: State, updated: tuple[int, ...] = ()) -> Rollout:
    """Release 7, after as many others as there are states, of which `moved` have been served somewhere."""
    record: Rollout | None = None
    for number, state in enumerate(states, start=1):
        there = ("web-1",) if number in updated else ()
        before = (record,) if record is not None else ()
        record = replace(rollouts.opened(number, Strategy(), before, now=NOW), state=state, updated=there)
    return rollouts.opened(7, Strategy(), (record,) if record is not None else (), now=NOW)


@pytest.mark.parametrize(
    ("record", "way_back"),
    [
        pytest.param(after(), None, id="there is nothing before the first"),
        pytest.param(after(State.STABLE), 1, id="the one before is stable"),
        pytest.param(after(State.STABLE, *40 * [State.QUARANTINED]), 1, id="forty bad ones came after it"),
        pytest.param(after(State.STABLE, State.STABLE, State.QUARANTINED), 2, id="the newest of two"),
        pytest.param(after(State.STABLE, State.OPEN, updated=(2,)), 1, id="stable is better than served somewhere"),
        pytest.param(after(State.OPEN, State.OPEN, State.QUARANTINED, updated=(1,)), 1, id="served than never served"),
        pytest.param(after(State.OPEN, State.OPEN, State.QUARANTINED), 2, id="the newest that is not bad"),
        pytest.param(after(*7 * [State.QUARANTINED]), None, id="all are bad"),
    ],
)
def test_a_record_knows_where_to_go_when_its_release_is_bad(record: Rollout, way_back: int | None) -> None:
    assert record.past is not None
    assert record.past.way_back == way_back


@pytest.mark.parametrize(
    ("record", "bad"),
    [
        pytest.param(
            after(State.STABLE, State.QUARANTINED, State.OPEN, State.QUARANTINED), (2, 4), id="older ones, too"
        ),
        pytest.param(after(State.QUARANTINED, State.STABLE, State.OPEN), (), id="nobody looks behind the stable one"),
        pytest.param(replace(after(State.STABLE), state=State.QUARANTINED), (7,), id="the newest itself"),
        pytest.param(replace(after(State.STABLE), past=None), (), id="an older agent has opened it"),
    ],
)
def test_a_record_knows_which_releases_nobody_may_start(record: Rollout, bad: tuple[int, ...]) -> None:
    assert tuple(number for number in range(1, 8) if rollouts.is_bad(record, number)) == bad


def test_records_that_do_not_know_what_came_before_them_tell_only_of_themselves() -> None:
    old = [replace(OPEN, release=number, state=state, past=None) for number, state in enumerate(State, start=1)]
    assert rollouts.past(old[::-1]) == rollouts.Past(stable=2, served=None, fit=2, bad=(3,))


def test_a_pause_outlives_the_release_during_which_it_was_said() -> None:
    assert rollouts.opened(8, Strategy(), (rollouts.pause(OPEN, ADMIN),), now=NOW).paused == ADMIN


def test_a_retry_lets_everybody_try_again() -> None:
    retried = rollouts.retry(failed(updated(OPEN, "web-3"), "web-1", "web-2"), ADMIN)
    assert (retried.state, retried.failures, retried.updated) == (State.OPEN, (), ())
    assert retried.retries == (ADMIN,)
    assert granted(claim(retried, "web-1")).slots


CHANGES: list[Callable[[Rollout], Rollout | Denied]] = [
    lambda record: claim(record, "web-1"),
    lambda record: slots.take_release_command(record, "web-1", now=NOW),
    lambda record: updated(record, "web-1"),
    lambda record: failed(record, "web-1"),
    lambda record: verdicts.reported_unhealthy(record, "web-1", "full", LIVE, now=NOW),
    lambda record: slots.give_back(record, "web-1", now=NOW),
    lambda record: rollouts.pause(record, ADMIN),
    lambda record: rollouts.closed(record, now=NOW),
]


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_may_be_made_twice(change: Callable[[Rollout], Rollout | Denied]) -> None:
    release_command = granted(change(granted(claim(OPEN, "web-1"))))
    twice = change(release_command)
    assert isinstance(twice, Denied) or twice == release_command
