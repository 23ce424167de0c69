"""For how long the store was heard, and what a node may conclude from silence."""

from datetime import timedelta

import pytest

from da_agent.domain.node.store_liveness import BREAK, WATCH, StoreLiveness


def at(seconds: float) -> timedelta:
    return timedelta(hours=1, seconds=seconds)


def heard(*seconds: float, broken_at: float | None = None) -> StoreLiveness:
    """The store has answered at these moments, but for one."""
    store_liveness = StoreLiveness()
    for moment in seconds:
        store_liveness = store_liveness.broken() if moment == broken_at else store_liveness.heard(at(moment))
    return store_liveness


@pytest.mark.parametrize(
    ("store_liveness", "now", "sure"),
    [
        pytest.param(StoreLiveness(), 0, False, id="never heard"),
        pytest.param(heard(0, 30), 59, False, id="not for long enough"),
        pytest.param(heard(0, 30), 60, True, id="for long enough"),
        pytest.param(heard(0, 10, 20, 30, 40, 50, broken_at=30), 60, False, id="away a moment ago"),
        pytest.param(heard(0, 10, 20, 30, 40, 50, 60, 70, broken_at=10), 80, True, id="away, and long since back"),
        pytest.param(heard(0, 30, 60, broken_at=60), 61, False, id="away now"),
        pytest.param(heard(0, 30), 3600, False, id="this machine was suspended"),
        pytest.param(heard(0, 30, 3600), 3601, False, id="this machine was suspended, and has just asked"),
        pytest.param(heard(0, 59, 118, 177), 178, True, id="asked seldom"),
    ],
)
def test_silence_counts_for_whoever_would_have_heard(store_liveness: StoreLiveness, now: float, sure: bool) -> None:
    assert store_liveness.is_sure(at(now)) is sure


def test_two_heartbeats_are_a_break_and_a_watch_is_no_shorter() -> None:
    assert timedelta(seconds=60) == BREAK <= WATCH
