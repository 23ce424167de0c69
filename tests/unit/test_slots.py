"""Who may move now, and for how long."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from da_agent.domain.config.strategies import Share, Strategy
from da_agent.domain.rollout import rollouts, slots, verdicts
from da_agent.domain.rollout.rollouts import Denied, Rollout, State
from tests.records import ADMIN, LATER, LIVE, NOW, ONCE, OPEN, claim, failed, granted, reason, updated


def test_claiming_twice_is_the_same_as_claiming_once_but_lasts_longer() -> None:
    release_command = granted(claim(OPEN, "web-1"))
    again = granted(claim(release_command, "web-1", now=NOW + timedelta(seconds=10)))
    assert [slot.node for slot in again.slots] == ["web-1"]
    assert again.slots[0].since == NOW
    assert again.slots[0].until == release_command.slots[0].until + timedelta(seconds=10)


def test_a_slot_that_others_may_hold_to_be_over_does_not_last_longer() -> None:
    release_command = granted(claim(OPEN, "web-1"))
    ends = release_command.slots[0].until
    late = granted(claim(release_command, "web-2", now=ends))
    assert [slot.node for slot in late.slots] == ["web-2"]
    assert reason(
        claim(replace(late, slots=release_command.slots + late.slots), "web-1", now=ends - timedelta(seconds=2))
    ) == ("updating: web-2")


def test_in_a_pause_nobody_gets_a_slot_and_none_lasts_longer() -> None:
    paused = rollouts.pause(granted(claim(OPEN, "web-1")), ADMIN)
    for node in ("web-1", "web-2"):
        assert reason(claim(paused, node)) == "paused by admin: maintenance"


HELD = slots.claim(OPEN, "web-1", 7, LIVE, now=NOW, reason="update", joining=False)


@pytest.mark.parametrize(
    ("rollout", "node", "seconds", "why"),
    [
        pytest.param(HELD, "web-2", 0, "updating: web-1", id="no place is free"),
        pytest.param(HELD, "web-2", 299, "updating: web-1", id="for long"),
        pytest.param(HELD, "web-2", 300, None, id="its slot has expired"),
        pytest.param(HELD, "web-1", 0, None, id="its own turn"),
        pytest.param(OPEN, "web-3", 0, "web-1 goes first", id="others are in front"),
        pytest.param(OPEN, "web-3", 15, None, id="those in front do not come"),
        pytest.param(OPEN, "web-1", 0, None, id="it is the first"),
        pytest.param(rollouts.pause(OPEN, ADMIN), "web-1", 60, "paused by admin: maintenance", id="a pause"),
        pytest.param(rollouts.closed(OPEN, now=NOW), "web-1", 0, "a newer release than 7 was published", id="closed"),
    ],
)
def test_nobody_asks_for_a_slot_that_the_record_does_not_have(
    rollout: Rollout, node: str, seconds: int, why: str | None
) -> None:
    now = NOW + timedelta(seconds=seconds)
    found = slots.forgone(rollout, node, 7, LIVE, now=now)
    assert (None if found is None else found.reason) == why
    if found is not None:
        assert claim(rollout, node, now=now) == found


def test_the_more_often_somebody_else_was_faster_the_longer_the_record_is_left_to_others() -> None:
    longest = [slots.pause_after(losses, 1.0).total_seconds() for losses in (1, 2, 3, 4, 5, 6, 50)]
    assert longest == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert slots.pause_after(3, 0.25) == timedelta(seconds=0.2)


def test_one_canary_goes_alone_before_any_others_may() -> None:
    many = replace(OPEN, strategy=Strategy(max_unavailable=Share(3)))
    first = granted(claim(many, "web-1"))
    assert reason(claim(first, "web-2")) == "updating: web-1"
    second = granted(claim(updated(first, "web-1"), "web-2"))
    third = granted(claim(second, "web-3"))
    assert {slot.node for slot in third.slots} == {"web-2", "web-3"}


def test_of_fewer_nodes_than_canaries_each_goes_alone() -> None:
    few = replace(OPEN, strategy=Strategy(max_unavailable=Share(2), canary=5))
    for before in ((), ("web-1",), ("web-1", "web-2"), ("web-1", "web-2", "web-3")):
        assert slots.places(replace(few, updated=before), "web-4", LIVE[:2], now=NOW) == 1


def test_a_rollback_needs_no_canary() -> None:
    rollback = rollouts.opened(7, Strategy(max_unavailable=Share(2)), (), now=NOW, skip_canary=True)
    assert len(granted(claim(granted(claim(rollback, "web-1")), "web-2")).slots) == 2


@pytest.mark.parametrize(
    ("share", "total", "nodes"),
    [(Share(1), 4, 1), (Share(3), 4, 3), (Share(25, True), 4, 1), (Share(50, True), 5, 2), (Share(10, True), 3, 1)],
)
def test_a_share_is_rounded_down_but_never_nobody(share: Share, total: int, nodes: int) -> None:
    assert share.of(total) == nodes


@pytest.mark.parametrize(("share", "total", "nodes"), [(Share(10, True), 500, 50), (Share(10, True), 1000, 64)])
def test_no_more_nodes_move_at_once_than_the_one_record_can_bear(share: Share, total: int, nodes: int) -> None:
    many = [f"web-{number}" for number in range(total)]
    through = replace(OPEN, strategy=Strategy(max_unavailable=share, canary=0))
    assert slots.places(through, "web-0", many, now=NOW) == nodes


def test_those_behind_wait_for_the_one_in_front_but_not_for_ever() -> None:
    assert reason(claim(OPEN, "web-3")) == "web-1 goes first"
    assert granted(claim(OPEN, "web-3", now=NOW + timedelta(seconds=31))).slot("web-3") is not None


def test_a_slot_ends_by_itself_and_whoever_had_begun_counts_as_a_failure() -> None:
    begun = granted(claim(OPEN, "web-1"))
    taken = granted(claim(begun, "web-2", now=LATER))
    assert [(failure.node, failure.lost) for failure in taken.failures] == [("web-1", True)]
    assert [slot.node for slot in taken.slots] == ["web-2"]


def test_a_slot_is_begun_when_the_commands_that_are_run_once_have_been_run() -> None:
    held = granted(claim(ONCE, "web-1"))
    done = granted(
        slots.finish_release_command(granted(slots.take_release_command(held, "web-1", now=NOW)), "web-1", (), now=NOW)
    )
    assert [slot.begun for each in (held, done, granted(claim(done, "web-1"))) for slot in each.slots] == [
        False,
        False,
        True,
    ]
    assert granted(claim(replace(ONCE, state=State.QUARANTINED), "web-1", target=6)).slots[0].begun


@pytest.mark.parametrize(
    ("slot", "needed", "seconds"),
    [(312, 272, 35), (292, 272, 15), (282, 272, 277), (60, 272, 55)],
    ids=["what is left beside both", "little is left", "too short for both", "too short for anything"],
)
def test_a_switch_comes_so_soon_that_the_probation_and_the_way_back_can_end_within_the_turn(
    slot: int, needed: int, seconds: int
) -> None:
    found = slots.time_to_switch(timedelta(seconds=slot), timedelta(seconds=needed))
    assert found == timedelta(seconds=seconds)


def test_a_slot_for_one_release_is_none_for_another() -> None:
    carried = rollouts.opened(8, Strategy(), (granted(claim(OPEN, "web-1")),), now=NOW)
    assert [(slot.release, slot.begun) for slot in carried.slots] == [(7, False)]
    assert reason(claim(carried, "web-1")) == "the wanted release is 8, not 7"


def test_turns_that_run_when_a_newer_release_comes_count_there() -> None:
    newer = rollouts.opened(8, Strategy(), (granted(claim(OPEN, "web-1")),), now=NOW)
    assert reason(claim(newer, "web-2", target=8)) == "updating: web-1"
    assert granted(claim(newer, "web-1", target=8)).slots[0].release == 8


def test_a_closed_record_gives_no_turn() -> None:
    closed = rollouts.closed(granted(claim(OPEN, "web-1")), now=NOW)
    assert reason(claim(closed, "web-1")) == "a newer release than 7 was published"


def test_once_a_quarantine_is_written_nobody_claims_a_slot_and_none_lasts_longer() -> None:
    held = granted(claim(replace(OPEN, strategy=Strategy(canary=0, max_unavailable=Share(3))), "web-3"))
    bad = failed(held, "web-1", "web-2")
    assert reason(claim(bad, "web-4")) == "release 7 is quarantined"
    assert reason(claim(bad, "web-3")) == "release 7 is quarantined"


def test_from_a_quarantined_release_slots_lead_to_the_one_before() -> None:
    bad = failed(OPEN, "web-1", "web-2")
    assert granted(claim(bad, "web-3", target=6)).slots[0].release == 6
    assert isinstance(claim(OPEN, "web-3", target=6), Denied)


def test_while_it_is_paused_nobody_begins_and_afterwards_all_goes_on() -> None:
    paused = rollouts.pause(granted(claim(ONCE, "web-1")), ADMIN)
    assert reason(claim(paused, "web-1")) == "paused by admin: maintenance"
    assert reason(slots.take_release_command(paused, "web-1", now=NOW)) == "paused by admin: maintenance"
    assert isinstance(claim(rollouts.resume(paused, ADMIN), "web-1"), Rollout)


def test_a_node_that_serves_nobody_takes_nobodys_place() -> None:
    held = granted(claim(OPEN, "web-1"))
    both = granted(claim(rollouts.pause(held, ADMIN), "web-2", joining=True))
    assert slots.running(both, now=NOW) == held.slots


def test_whoever_gives_its_slot_back_leaves_the_commands_that_are_run_once_to_the_next() -> None:
    running = granted(slots.take_release_command(granted(claim(ONCE, "web-1")), "web-1", now=NOW))
    back = slots.give_back(running, "web-1", now=NOW)
    assert (back.slots, back.release_command) == ((), None)
    assert slots.give_back(back, "web-1", now=LATER) == back
    done = granted(slots.finish_release_command(running, "web-1", (), now=NOW))
    assert slots.give_back(done, "web-1", now=NOW).release_command == done.release_command


def test_whoever_gives_its_slot_back_wakes_the_next_but_not_in_a_pause() -> None:
    held = granted(claim(OPEN, "web-1"))
    paused = rollouts.pause(held, ADMIN)
    woken = [
        slots.concerned(each, slots.give_back(each, "web-1", now=NOW), LIVE[1:], now=NOW) for each in (held, paused)
    ]
    assert woken == [{"web-2"}, set()]


def test_commands_that_are_run_once_have_one_runner() -> None:
    both = replace(OPEN, strategy=Strategy(canary=0, max_unavailable=Share(2), release_command=("create_tables",)))
    both = granted(claim(granted(claim(both, "web-1")), "web-2"))
    running = granted(slots.take_release_command(both, "web-1", now=NOW))
    assert reason(slots.take_release_command(running, "web-2", now=NOW)).startswith("web-1 is running")
    assert isinstance(slots.finish_release_command(running, "web-2", (), now=NOW), Denied)
    assert failed(running, "web-1").release_command is None
    done = granted(slots.finish_release_command(running, "web-1", ("created",), now=NOW))
    assert not done.release_command_is_due
    assert reason(slots.take_release_command(done, "web-2", now=NOW)).startswith("web-1 has run")


@pytest.mark.parametrize(
    ("stopped", "why"),
    [
        (lambda record: rollouts.pause(record, ADMIN), "paused by admin: maintenance"),
        (lambda record: rollouts.closed(record, now=NOW), "a newer release than 7 was published"),
        (lambda record: replace(record, state=State.QUARANTINED), "release 7 is quarantined"),
    ],
    ids=["paused", "closed", "quarantined"],
)
def test_nobody_runs_the_commands_of_a_rollout_that_has_been_stopped(
    stopped: Callable[[Rollout], Rollout], why: str
) -> None:
    assert reason(slots.take_release_command(stopped(granted(claim(OPEN, "web-1"))), "web-1", now=NOW)) == why


def test_a_node_that_was_at_fault_itself_goes_last() -> None:
    unhealthy = verdicts.reported_unhealthy(OPEN, "web-1", "the disk is full", LIVE, now=NOW)
    assert reason(claim(unhealthy, "web-1")) == "web-2 goes first: this node was unhealthy"
    assert granted(claim(updated(unhealthy, "web-2", "web-3", "web-4"), "web-1")).slot("web-1") is not None
