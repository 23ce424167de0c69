"""A few random schedules on real nodes; scripts/schedules plays more of them."""

import pytest

from tests.fault.schedules import KINDS, events_of, stage

SEEDS = (3, 20)
"""Between them they have most kinds of events."""


def test_the_same_seed_gives_the_same_schedule_and_every_kind_is_met() -> None:
    assert events_of(7) == events_of(7) != events_of(8)
    assert {event.kind for seed in range(100) for event in events_of(seed)} == set(KINDS)


@pytest.mark.timeout(3000)
def test_schedules_of_pushes_commands_and_faults_lose_no_request_mix_nothing_and_leave_nothing() -> None:
    with stage(3) as at:
        for seed in SEEDS:
            at.play(seed, 60.0)
