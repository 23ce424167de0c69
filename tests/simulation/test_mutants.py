"""Each rule of a rollout is broken on purpose once: the simulation finds out, or it would be worth nothing."""

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from da_agent.domain.node import actions, decisions, record_entries, store_liveness, targets
from da_agent.domain.node.actions import Action
from da_agent.domain.node.observations import Observation
from da_agent.domain.rollout import rollouts, slots, verdicts
from da_agent.domain.rollout.rollouts import Rollout
from tests.observed import but
from tests.simulation.faults import A_MOVER_DIES, Violation, faults_of, policy_of, troubles_of
from tests.simulation.worlds import play, play_first_start

TRIES = 3000


def found(decide: Callable[[Observation], Action] = decisions.decide, *, blind: bool = False, like: str = "") -> str:
    """What the simulation says of a mutant; a schedule that finds nothing `like` that is followed by another."""
    for number in range(TRIES):
        try:
            play(
                number,
                1 + number % 5,
                [*faults_of(number), *troubles_of(number)],
                decide=decide,
                blind=blind,
                strategy=policy_of(number),
                patience=1200,
            )
        except Violation as violation:
            if like in str(violation):
                return str(violation)
    return "nothing"


def test_more_nodes_than_allowed_are_out_of_service(monkeypatch: pytest.MonkeyPatch) -> None:
    places = slots.places

    def everybody(rollout: Rollout, node: str, live: Collection[str], *, now: datetime) -> int:
        through = len(rollout.updated) >= rollout.strategy.canary
        return 99 if through else places(rollout, node, live, now=now)

    monkeypatch.setattr(slots, "places", everybody)
    assert "out of service at the same time" in found()


def test_a_quarantined_release_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = slots._refusal

    def lenient(rollout: Rollout, target: int, *, joining: bool) -> rollouts.Denied | None:
        quarantined = rollout.state is rollouts.State.QUARANTINED and target == rollout.release
        return None if quarantined else refusal(rollout, target, joining=joining)

    monkeypatch.setattr(slots, "_refusal", lenient)
    assert "which is quarantined" in found()


def test_a_slot_does_not_end_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "running", lambda rollout, *, now: rollout.slots)
    monkeypatch.setattr(verdicts, "without_lost", lambda rollout, *_, **__: rollout)
    assert "not whole" in found()


def test_a_machine_that_stood_still_switches_after_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "time_to_switch", lambda slot, probation: timedelta(days=1))
    assert "switches to release" in found()


def test_those_that_failed_are_not_heard_where_all_others_are_sick(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = verdicts._verdict

    def timid(rollout: Rollout, live: frozenset[str], heard: frozenset[str]) -> rollouts.State | None:
        return None if rollout.unhealthy and not rollout.updated else verdict(rollout, live, heard)

    monkeypatch.setattr(verdicts, "_verdict", timid)
    assert "not whole" in found()


def test_a_record_does_not_tell_the_next_one_what_came_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    past = rollouts.past
    monkeypatch.setattr(rollouts, "past", lambda before: past([replace(each, past=None) for each in before]))
    assert "not whole" in found(like="not whole"), "nodes have nowhere to go back to"


def test_silence_counts_at_once_after_the_store_was_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_liveness, "WATCH", timedelta())
    assert "is held to be lost, and is well" in found()


def test_nobody_looks_whether_a_rollout_has_come_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_entries, "review_is_due", lambda *_, **__: False)
    assert "not whole" in found()


def test_the_ledger_is_never_read_while_a_rollout_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollouts, "READ_PERIOD", timedelta(days=365))
    assert "not whole" in found(), "whoever appended was killed before it closed the record"


def test_nobody_asks_for_the_slot_of_those_that_do_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    forgone = slots.forgone

    def patient(
        rollout: Rollout, node: str, target: int, live: Collection[str], *, now: datetime
    ) -> rollouts.Denied | None:
        return forgone(replace(rollout, changed_at=now), node, target, live, now=now)

    monkeypatch.setattr(slots, "forgone", patient)
    assert "not whole" in found()


def test_a_node_that_failed_once_never_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "RETRY_STABLE", timedelta(days=365))
    assert "not whole" in found()


def test_a_release_is_switched_to_before_it_is_complete() -> None:
    def hasty(seen: Observation) -> Action:
        action = decisions.decide(seen)
        return actions.Switch(action.release) if isinstance(action, actions.Stage) else action

    assert "has not staged" in found(hasty)


def test_a_node_switches_without_a_turn() -> None:
    def hasty(seen: Observation) -> Action:
        action = decisions.decide(seen)
        return actions.Switch(action.release) if isinstance(action, actions.Claim) else action

    assert "without having begun it" in found(hasty)


def test_a_node_does_not_look_again_after_it_has_drained() -> None:
    def hasty(seen: Observation) -> Action:
        action = decisions.decide(seen)
        return decisions.decide(but(seen, looked=True)) if isinstance(action, actions.Look) else action

    assert "which is quarantined" in found(hasty, like="which is quarantined")


def test_a_node_that_drains_never_lets_people_come_again() -> None:
    def stubborn(seen: Observation) -> Action:
        action = decisions.decide(seen)
        return actions.Idle() if isinstance(action, actions.Undrain) else action

    assert "not whole" in found(stubborn, like="not whole"), "such a node never serves again"


def test_a_store_ignores_conditions() -> None:
    said = found(blind=True)
    assert "was acknowledged" in said or "two numbers" in said, said


def test_the_commands_that_are_run_once_are_run_by_a_second_node(monkeypatch: pytest.MonkeyPatch) -> None:
    take = slots.take_release_command
    monkeypatch.setattr(
        slots,
        "take_release_command",
        lambda rollout, node, *, now: take(replace(rollout, release_command=None), node, now=now),
    )
    assert "runs the commands that are run once" in found()


def test_the_commands_that_are_run_once_are_run_in_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    take = slots.take_release_command

    def deaf(rollout: Rollout, node: str, *, now: datetime) -> Rollout | rollouts.Denied:
        made = take(replace(rollout, paused=None), node, now=now)
        return made if isinstance(made, rollouts.Denied) else replace(made, paused=rollout.paused)

    monkeypatch.setattr(slots, "take_release_command", deaf)
    assert "and may not" in found()


def test_others_do_not_wait_for_the_canary(monkeypatch: pytest.MonkeyPatch) -> None:
    places = slots.places

    def hasty(rollout: Rollout, node: str, live: Collection[str], *, now: datetime) -> int:
        return places(replace(rollout, skip_canary=True), node, live, now=now)

    monkeypatch.setattr(slots, "places", hasty)
    assert "before the canary has moved" in found()


def test_a_pause_is_not_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = slots._refusal

    def deaf(rollout: Rollout, target: int, *, joining: bool) -> rollouts.Denied | None:
        return refusal(replace(rollout, paused=None), target, joining=joining)

    monkeypatch.setattr(slots, "_refusal", deaf)
    assert "in a pause" in found() or "and may not" in found()


def test_one_failure_is_enough_whatever_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = verdicts._verdict

    def harsh(rollout: Rollout, live: frozenset[str], heard: frozenset[str]) -> rollouts.State | None:
        return verdict(replace(rollout, strategy=replace(rollout.strategy, max_failures=0)), live, heard)

    monkeypatch.setattr(verdicts, "_verdict", harsh)
    assert "is quarantined for 1 failures" in found()


def test_the_dead_prove_a_release(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = verdicts._verdict

    def credulous(rollout: Rollout, live: frozenset[str], heard: frozenset[str]) -> rollouts.State | None:
        return verdict(rollout, live, heard | {*rollout.updated})

    monkeypatch.setattr(verdicts, "_verdict", credulous)
    with pytest.raises(Violation, match="nobody who is alive serves it"):
        play(2, 2, A_MOVER_DIES)


def test_a_node_with_nothing_to_serve_rehearses_again_what_it_has_rejected() -> None:
    def stubborn(seen: Observation) -> Action:
        action, back = decisions.decide(seen), seen.cluster.fallback if seen.cluster is not None else None
        falls_back = isinstance(action, actions.Idle) and seen.releases.current is None and back in seen.releases.staged
        return actions.Rehearse(back) if falls_back and back is not None else action

    with pytest.raises(Violation, match="takes up release 1 before its time"):
        play_first_start(1, 1, decide=stubborn)


def test_a_node_never_comes_to_rest() -> None:
    def restless(seen: Observation) -> Action:
        action = decisions.decide(seen)
        return actions.Undrain() if isinstance(action, actions.Idle) else action

    with pytest.raises(Violation, match="never comes to rest"):
        play_first_start(1, 1, decide=restless)
