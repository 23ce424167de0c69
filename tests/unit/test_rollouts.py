"""Who may move, who has moved, and the verdict."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from da_agent.domain import rollouts
from da_agent.domain.policies import Policy, Share
from da_agent.domain.rollouts import Denied, Note, Rollout, State

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LIVE = ("web-1", "web-2", "web-3", "web-4")
OPEN = rollouts.opened(7, Policy(), (), now=NOW)
ONCE = rollouts.opened(7, Policy(once=("create_tables",)), (), now=NOW)
LATER = NOW + timedelta(seconds=400)
ADMIN = Note("admin", NOW, "maintenance")


def claim(
    rollout: Rollout, node: str, *, now: datetime = NOW, target: int = 7, joining: bool = False
) -> Rollout | Denied:
    return rollouts.claim(rollout, node, target, LIVE, now=now, reason="update", joining=joining)


def granted(made: Rollout | Denied) -> Rollout:
    assert isinstance(made, Rollout), made
    return made


def reason(made: Rollout | Denied) -> str:
    assert isinstance(made, Denied), made
    return made.reason


def moved(rollout: Rollout, *nodes: str) -> Rollout:
    for node in nodes:
        rollout = rollouts.moved(rollout, node, LIVE, now=NOW)
    return rollout


def failed(rollout: Rollout, *nodes: str) -> Rollout:
    for node in nodes:
        rollout = rollouts.failed(rollout, node, "it answers 500", ("a line",), LIVE, now=NOW)
    return rollout


def test_claiming_twice_is_the_same_as_claiming_once_but_lasts_longer() -> None:
    once = granted(claim(OPEN, "web-1"))
    again = granted(claim(once, "web-1", now=NOW + timedelta(seconds=10)))
    assert [turn.node for turn in again.turns] == ["web-1"]
    assert again.turns[0].since == NOW
    assert again.turns[0].until == once.turns[0].until + timedelta(seconds=10)


def test_a_turn_that_others_may_hold_to_be_over_does_not_last_longer() -> None:
    once = granted(claim(OPEN, "web-1"))
    ends = once.turns[0].until
    late = granted(claim(once, "web-2", now=ends))
    assert [turn.node for turn in late.turns] == ["web-2"]
    assert reason(claim(replace(late, turns=once.turns + late.turns), "web-1", now=ends - timedelta(seconds=2))) == (
        "it is the turn of web-2"
    )


def test_whoever_had_begun_keeps_its_turn_in_a_pause_and_nobody_else() -> None:
    begun = granted(claim(OPEN, "web-1"))
    paused = rollouts.pause(begun, ADMIN)
    again = granted(claim(paused, "web-1", now=NOW + timedelta(seconds=30)))
    assert [(turn.node, turn.begun) for turn in again.turns] == [("web-1", True)]
    assert "paused" in reason(claim(paused, "web-2", now=LATER))
    assert "paused" in reason(claim(rollouts.pause(granted(claim(ONCE, "web-1")), ADMIN), "web-1"))


HELD = rollouts.claim(OPEN, "web-1", 7, LIVE, now=NOW, reason="update", joining=False)


@pytest.mark.parametrize(
    ("rollout", "node", "seconds", "why"),
    [
        pytest.param(HELD, "web-2", 0, "it is the turn of web-1", id="no place is free"),
        pytest.param(HELD, "web-2", 299, "it is the turn of web-1", id="for long"),
        pytest.param(HELD, "web-2", 300, None, id="its turn is over"),
        pytest.param(HELD, "web-1", 0, None, id="its own turn"),
        pytest.param(OPEN, "web-3", 0, "web-1 goes first", id="others are in front"),
        pytest.param(OPEN, "web-3", 15, None, id="those in front do not come"),
        pytest.param(OPEN, "web-1", 0, None, id="it is the first"),
        pytest.param(rollouts.pause(OPEN, ADMIN), "web-1", 60, "paused by admin: maintenance", id="a pause"),
        pytest.param(rollouts.closed(OPEN, now=NOW), "web-1", 0, "a newer release than 7 has come", id="closed"),
    ],
)
def test_nobody_asks_for_a_turn_that_the_record_does_not_have(
    rollout: Rollout, node: str, seconds: int, why: str | None
) -> None:
    now = NOW + timedelta(seconds=seconds)
    found = rollouts.forgone(rollout, node, 7, LIVE, now=now)
    assert (None if found is None else found.reason) == why
    if found is not None:
        assert claim(rollout, node, now=now) == found


def test_the_more_often_somebody_else_was_faster_the_longer_the_record_is_left_to_others() -> None:
    longest = [rollouts.pause_after(losses, 1.0).total_seconds() for losses in (1, 2, 3, 4, 5, 6, 50)]
    assert longest == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert rollouts.pause_after(3, 0.25) == timedelta(seconds=0.2)


def test_one_canary_goes_alone_before_any_others_may() -> None:
    many = replace(OPEN, policy=Policy(max_unavailable=Share(3)))
    first = granted(claim(many, "web-1"))
    assert reason(claim(first, "web-2")) == "it is the turn of web-1"
    second = granted(claim(moved(first, "web-1"), "web-2"))
    third = granted(claim(second, "web-3"))
    assert {turn.node for turn in third.turns} == {"web-2", "web-3"}


def test_of_fewer_nodes_than_canaries_each_goes_alone() -> None:
    few = replace(OPEN, policy=Policy(max_unavailable=Share(2), canary=5))
    for before in ((), ("web-1",), ("web-1", "web-2"), ("web-1", "web-2", "web-3")):
        assert rollouts.places(replace(few, moved=before), "web-4", LIVE[:2], now=NOW) == 1


def test_a_rollback_needs_no_canary() -> None:
    rollback = rollouts.opened(7, Policy(max_unavailable=Share(2)), (), now=NOW, skip_canary=True)
    assert len(granted(claim(granted(claim(rollback, "web-1")), "web-2")).turns) == 2


@pytest.mark.parametrize(
    ("share", "total", "nodes"),
    [(Share(1), 4, 1), (Share(3), 4, 3), (Share(25, True), 4, 1), (Share(50, True), 5, 2), (Share(10, True), 3, 1)],
)
def test_a_share_is_rounded_down_but_never_nobody(share: Share, total: int, nodes: int) -> None:
    assert share.of(total) == nodes


@pytest.mark.parametrize(("share", "total", "nodes"), [(Share(10, True), 500, 50), (Share(10, True), 1000, 64)])
def test_no_more_nodes_move_at_once_than_the_one_record_can_bear(share: Share, total: int, nodes: int) -> None:
    many = [f"web-{number}" for number in range(total)]
    through = replace(OPEN, policy=Policy(max_unavailable=share, canary=0))
    assert rollouts.places(through, "web-0", many, now=NOW) == nodes


def test_those_behind_wait_for_the_one_in_front_but_not_for_ever() -> None:
    assert reason(claim(OPEN, "web-3")) == "web-1 goes first"
    assert granted(claim(OPEN, "web-3", now=NOW + timedelta(seconds=31))).turn("web-3") is not None


def test_a_turn_ends_by_itself_and_whoever_had_begun_counts_as_a_failure() -> None:
    begun = granted(claim(OPEN, "web-1"))
    taken = granted(claim(begun, "web-2", now=LATER))
    assert [(blame.node, blame.lost) for blame in taken.blames] == [("web-1", True)]
    assert [turn.node for turn in taken.turns] == ["web-2"]


def test_one_machine_may_be_switched_off_whatever_is_allowed_but_not_one_after_the_other() -> None:
    strict = replace(OPEN, policy=Policy(max_failures=0))
    for number, (node, state) in enumerate([("web-1", State.OPEN), ("web-2", State.QUARANTINED)]):
        now = NOW + number * timedelta(seconds=400)
        strict = granted(claim(strict, node, now=now))
        looked = rollouts.reviewed(strict, "web-4", LIVE, now=now + timedelta(seconds=399))
        assert looked.state is state
    assert failed(replace(OPEN, policy=Policy(max_failures=0)), "web-1").state is State.QUARANTINED


def test_a_turn_that_was_never_begun_is_no_failure() -> None:
    assert granted(claim(granted(claim(ONCE, "web-1")), "web-2", now=LATER)).blames == ()


def test_a_machine_that_comes_back_and_serves_is_forgiven() -> None:
    begun = granted(claim(OPEN, "web-1"))
    assert moved(granted(claim(begun, "web-2", now=LATER)), "web-1").blames == ()


def test_a_turn_is_begun_when_the_commands_that_are_run_once_have_been_run() -> None:
    held = granted(claim(ONCE, "web-1"))
    done = granted(rollouts.finish_once(granted(rollouts.take_once(held, "web-1", now=NOW)), "web-1", (), now=NOW))
    assert [turn.begun for each in (held, done, granted(claim(done, "web-1"))) for turn in each.turns] == [
        False,
        False,
        True,
    ]
    assert granted(claim(replace(ONCE, state=State.QUARANTINED), "web-1", target=6)).turns[0].begun


@pytest.mark.parametrize(
    ("turn", "needed", "seconds"),
    [(300, 272, 23), (292, 272, 15), (282, 272, 5), (60, 272, 5)],
    ids=["what is left beside both", "little is left", "the shortest turn", "more than any turn"],
)
def test_a_switch_comes_so_soon_that_the_trial_and_the_way_back_can_end_within_the_turn(
    turn: int, needed: int, seconds: int
) -> None:
    found = rollouts.time_to_switch(timedelta(seconds=turn), timedelta(seconds=needed))
    assert found == timedelta(seconds=seconds)


def test_a_turn_for_one_release_is_none_for_another() -> None:
    carried = rollouts.opened(8, Policy(), (granted(claim(OPEN, "web-1")),), now=NOW)
    assert [(turn.release, turn.begun) for turn in carried.turns] == [(7, False)]
    assert reason(claim(carried, "web-1")) == "release 8 is the one to go to, not 7"


def test_turns_that_run_when_a_newer_release_comes_count_there() -> None:
    newer = rollouts.opened(8, Policy(), (granted(claim(OPEN, "web-1")),), now=NOW)
    assert reason(claim(newer, "web-2", target=8)) == "it is the turn of web-1"
    assert granted(claim(newer, "web-1", target=8)).turns[0].release == 8


def after(*states: State, moved: tuple[int, ...] = ()) -> Rollout:
    """Release 7, after as many others as there are states, of which `moved` have been served somewhere."""
    record: Rollout | None = None
    for number, state in enumerate(states, start=1):
        there = ("web-1",) if number in moved else ()
        before = (record,) if record is not None else ()
        record = replace(rollouts.opened(number, Policy(), before, now=NOW), state=state, moved=there)
    return rollouts.opened(7, Policy(), (record,) if record is not None else (), now=NOW)


@pytest.mark.parametrize(
    ("record", "way_back"),
    [
        pytest.param(after(), None, id="there is nothing before the first"),
        pytest.param(after(State.PROVEN), 1, id="the one before is proven"),
        pytest.param(after(State.PROVEN, *40 * [State.QUARANTINED]), 1, id="forty bad ones came after it"),
        pytest.param(after(State.PROVEN, State.PROVEN, State.QUARANTINED), 2, id="the newest of two"),
        pytest.param(after(State.PROVEN, State.OPEN, moved=(2,)), 1, id="proven is better than served somewhere"),
        pytest.param(after(State.OPEN, State.OPEN, State.QUARANTINED, moved=(1,)), 1, id="served than never served"),
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
            after(State.PROVEN, State.QUARANTINED, State.OPEN, State.QUARANTINED), (2, 4), id="older ones, too"
        ),
        pytest.param(after(State.QUARANTINED, State.PROVEN, State.OPEN), (), id="nobody looks behind the proven one"),
        pytest.param(replace(after(State.PROVEN), state=State.QUARANTINED), (7,), id="the newest itself"),
        pytest.param(replace(after(State.PROVEN), past=None), (), id="an older agent has opened it"),
    ],
)
def test_a_record_knows_which_releases_nobody_may_start(record: Rollout, bad: tuple[int, ...]) -> None:
    assert tuple(number for number in range(1, 8) if rollouts.is_bad(record, number)) == bad


def test_records_that_do_not_know_what_came_before_them_tell_only_of_themselves() -> None:
    old = [replace(OPEN, release=number, state=state, past=None) for number, state in enumerate(State, start=1)]
    assert rollouts.past(old[::-1]) == rollouts.Past(proven=2, served=None, fit=2, bad=(3,))


def test_a_closed_record_gives_no_turn() -> None:
    closed = rollouts.closed(granted(claim(OPEN, "web-1")), now=NOW)
    assert reason(claim(closed, "web-1")) == "a newer release than 7 has come"


def test_more_failures_than_allowed_quarantine_the_release() -> None:
    bad = failed(OPEN, "web-1", "web-2")
    assert (failed(OPEN, "web-1").state, bad.state) == (State.OPEN, State.QUARANTINED)
    assert bad.verdict is not None
    assert bad.verdict.reason == "web-1: it answers 500; web-2: it answers 500"
    assert bad.blames[0].log == ("a line",)


def test_a_node_that_fails_twice_is_one_failure() -> None:
    assert failed(OPEN, "web-1", "web-1").state is State.OPEN


def sickened(rollout: Rollout, *nodes: str, now: datetime = NOW) -> Rollout:
    for node in nodes:
        rollout = rollouts.sickened(rollout, node, "the disk is full", LIVE, now=now)
    return rollout


LENIENT = replace(OPEN, policy=Policy(max_failures=5))


@pytest.mark.parametrize(
    ("record", "live", "heard", "state"),
    [
        pytest.param(failed(moved(OPEN, "web-1"), "web-2"), "2", "2", State.QUARANTINED, id="the dead prove nothing"),
        pytest.param(
            sickened(moved(OPEN, "web-1"), "web-2"), "2", "2", State.OPEN, id="nobody is left to say anything"
        ),
        pytest.param(failed(moved(OPEN, "web-1"), "web-2"), "12", "12", State.PROVEN, id="as many serve it as failed"),
        pytest.param(
            failed(moved(LENIENT, "web-1"), *LIVE[1:]),
            "1234",
            "1234",
            State.QUARANTINED,
            id="more failed than serve it",
        ),
        pytest.param(failed(moved(OPEN, "web-1"), "web-2"), "12", "2", State.OPEN, id="who serves it is not heard"),
        pytest.param(moved(OPEN, "web-1", "web-2"), "12", "2", State.PROVEN, id="nothing speaks against it"),
    ],
)
def test_those_speak_for_a_release_that_serve_it_and_are_heard(
    record: Rollout, live: str, heard: str, state: State
) -> None:
    there, known = ([f"web-{number}" for number in numbers] for numbers in (live, heard))
    assert rollouts.judged(replace(record, state=State.OPEN), there, now=NOW, heard=known).state is state


def test_when_everybody_has_failed_there_is_nobody_else_to_ask() -> None:
    assert rollouts.failed(OPEN, "web-1", "no", (), ["web-1"], now=NOW).state is State.QUARANTINED


@pytest.mark.parametrize(
    ("record", "state"),
    [
        pytest.param(sickened(failed(OPEN, "web-1"), "web-2", "web-3"), State.OPEN, id="one is still to come"),
        pytest.param(sickened(failed(OPEN, "web-1"), *LIVE[1:]), State.QUARANTINED, id="the rest are sick"),
        pytest.param(failed(sickened(OPEN, *LIVE[1:]), "web-1"), State.QUARANTINED, id="the rest were sick before"),
        pytest.param(failed(sickened(moved(OPEN, "web-2"), *LIVE[2:]), "web-1"), State.PROVEN, id="one serves it"),
        pytest.param(sickened(OPEN, *LIVE), State.OPEN, id="nobody can say anything of the release"),
        pytest.param(
            sickened(replace(OPEN, blames=(rollouts.Blame("web-9", "gone", NOW, lost=True),)), *LIVE),
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
        pytest.param(sickened(OPEN, *LIVE), True, id="all are sick"),
        pytest.param(sickened(OPEN, *LIVE[1:]), False, id="one can still move"),
        pytest.param(sickened(OPEN, *LIVE, now=LATER), False, id="they have only just said so"),
        pytest.param(sickened(sickened(OPEN, *LIVE), *LIVE, now=LATER), True, id="they say so once more"),
        pytest.param(rollouts.pause(sickened(OPEN, *LIVE), ADMIN), False, id="paused"),
        pytest.param(rollouts.closed(sickened(OPEN, *LIVE), now=NOW), False, id="a newer release has come"),
    ],
)
def test_a_rollout_is_stuck_when_every_node_has_been_sick_for_a_while(record: Rollout, stuck: bool) -> None:
    assert rollouts.is_stuck(record, LIVE, now=LATER) is stuck


def test_once_a_quarantine_is_written_nobody_claims_a_turn_and_none_lasts_longer() -> None:
    held = granted(claim(replace(OPEN, policy=Policy(canary=0, max_unavailable=Share(3))), "web-3"))
    bad = failed(held, "web-1", "web-2")
    assert reason(claim(bad, "web-4")) == "release 7 is quarantined"
    assert reason(claim(bad, "web-3")) == "release 7 is quarantined"


def test_from_a_quarantined_release_turns_lead_to_the_one_before() -> None:
    bad = failed(OPEN, "web-1", "web-2")
    assert granted(claim(bad, "web-3", target=6)).turns[0].release == 6
    assert isinstance(claim(OPEN, "web-3", target=6), Denied)


def test_a_release_is_proven_when_every_live_node_has_moved() -> None:
    assert moved(OPEN, "web-1", "web-2", "web-3").state is State.OPEN
    assert moved(OPEN, *LIVE).state is State.PROVEN


def test_a_node_that_is_sick_itself_holds_nobody_up_and_condemns_nothing() -> None:
    sick = rollouts.sickened(OPEN, "web-1", "the disk is full", LIVE, now=NOW)
    sick = rollouts.sickened(sick, "web-2", "the disk is full", LIVE, now=NOW)
    assert sick.state is State.OPEN
    assert moved(sick, "web-3", "web-4").state is State.PROVEN


def test_a_node_that_died_holds_up_the_verdict_only_until_somebody_looks() -> None:
    three = moved(OPEN, "web-1", "web-2", "web-3")
    assert not rollouts.review_is_due(three, "web-1", now=NOW)
    assert rollouts.review_is_due(three, "web-1", now=NOW + timedelta(seconds=16))
    assert not rollouts.review_is_due(three, "web-2", now=NOW + timedelta(seconds=16))
    assert rollouts.reviewed(three, "web-1", LIVE[:3], now=NOW).state is State.PROVEN


def test_while_it_is_paused_nobody_begins_and_afterwards_all_goes_on() -> None:
    paused = rollouts.pause(granted(claim(ONCE, "web-1")), ADMIN)
    assert reason(claim(paused, "web-1")) == "paused by admin: maintenance"
    assert reason(rollouts.take_once(paused, "web-1", now=NOW)) == "paused by admin: maintenance"
    assert isinstance(claim(rollouts.resume(paused, ADMIN), "web-1"), Rollout)


def test_a_pause_outlives_the_release_during_which_it_was_said() -> None:
    assert rollouts.opened(8, Policy(), (rollouts.pause(OPEN, ADMIN),), now=NOW).paused == ADMIN


def test_a_node_that_serves_nobody_takes_nobodys_place() -> None:
    held = granted(claim(OPEN, "web-1"))
    both = granted(claim(rollouts.pause(held, ADMIN), "web-2", joining=True))
    assert rollouts.running(both, now=NOW) == held.turns


def test_a_pardon_lets_everybody_try_again() -> None:
    pardoned = rollouts.pardon(failed(moved(OPEN, "web-3"), "web-1", "web-2"), ADMIN)
    assert (pardoned.state, pardoned.blames, pardoned.moved) == (State.OPEN, (), ())
    assert pardoned.pardons == (ADMIN,)
    assert granted(claim(pardoned, "web-1")).turns


def test_commands_that_are_run_once_have_one_runner() -> None:
    both = replace(OPEN, policy=Policy(canary=0, max_unavailable=Share(2), once=("create_tables",)))
    both = granted(claim(granted(claim(both, "web-1")), "web-2"))
    running = granted(rollouts.take_once(both, "web-1", now=NOW))
    assert reason(rollouts.take_once(running, "web-2", now=NOW)).startswith("web-1 is running")
    assert isinstance(rollouts.finish_once(running, "web-2", (), now=NOW), Denied)
    assert failed(running, "web-1").once is None
    done = granted(rollouts.finish_once(running, "web-1", ("created",), now=NOW))
    assert not done.once_is_due
    assert reason(rollouts.take_once(done, "web-2", now=NOW)).startswith("web-1 has run")


@pytest.mark.parametrize(
    ("stopped", "why"),
    [
        (lambda record: rollouts.pause(record, ADMIN), "paused by admin: maintenance"),
        (lambda record: rollouts.closed(record, now=NOW), "a newer release than 7 has come"),
        (lambda record: replace(record, state=State.QUARANTINED), "release 7 is quarantined"),
    ],
    ids=["paused", "closed", "quarantined"],
)
def test_nobody_runs_the_commands_of_a_rollout_that_has_been_stopped(
    stopped: Callable[[Rollout], Rollout], why: str
) -> None:
    assert reason(rollouts.take_once(stopped(granted(claim(OPEN, "web-1"))), "web-1", now=NOW)) == why


CHANGES: list[Callable[[Rollout], Rollout | Denied]] = [
    lambda record: claim(record, "web-1"),
    lambda record: rollouts.take_once(record, "web-1", now=NOW),
    lambda record: moved(record, "web-1"),
    lambda record: failed(record, "web-1"),
    lambda record: rollouts.sickened(record, "web-1", "full", LIVE, now=NOW),
    lambda record: rollouts.give_back(record, "web-1", now=NOW),
    lambda record: rollouts.pause(record, ADMIN),
    lambda record: rollouts.closed(record, now=NOW),
]


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_may_be_made_twice(change: Callable[[Rollout], Rollout | Denied]) -> None:
    once = granted(change(granted(claim(OPEN, "web-1"))))
    twice = change(once)
    assert isinstance(twice, Denied) or twice == once


def test_after_an_outage_of_the_store_nobody_is_condemned_for_not_being_heard() -> None:
    begun = granted(claim(OPEN, "web-1"))
    asked = rollouts.claim(begun, "web-2", 7, LIVE, now=LATER, reason="update", joining=False, sure=False)
    assert granted(asked).blames == ()
    assert granted(claim(granted(asked), "web-3", now=LATER + timedelta(seconds=400))).blames != ()


def test_a_node_that_was_at_fault_itself_goes_last() -> None:
    sick = rollouts.sickened(OPEN, "web-1", "the disk is full", LIVE, now=NOW)
    assert reason(claim(sick, "web-1")) == "web-2 goes first: this node was at fault itself"
    assert granted(claim(moved(sick, "web-2", "web-3", "web-4"), "web-1")).turn("web-1") is not None
