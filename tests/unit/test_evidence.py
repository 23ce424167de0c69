"""What the web server has shown of a release, from one probe to the next."""

from datetime import timedelta

from da_agent.domain.application.readiness import Answer, Wanted, Worker
from da_agent.domain.node.evidence import MISMATCH_PATIENCE, Evidence

SIX = Wanted(6, "f6")
TEN, ELEVEN = Worker(10, 1.0), Worker(11, 1.0)
BOTH = frozenset({TEN, ELEVEN})
NOW = timedelta(hours=1)
SECOND = timedelta(seconds=1)


def test_workers_are_ready_once_each_has_answered_in_some_probe() -> None:
    first = Evidence().after_probe(SIX, BOTH, [Answer(10, 6, "f6")])
    assert first.readiness is not None
    assert (first.readiness.holds, first.ready_workers) == (False, frozenset())
    second = first.after_probe(SIX, BOTH, [Answer(11, 6, "f6")])
    assert second.readiness is not None
    assert (second.readiness.holds, second.ready_workers) == (True, BOTH)


def test_the_newest_answer_of_a_worker_counts() -> None:
    old = Evidence().after_probe(SIX, BOTH, [Answer(10, 5, "f5"), Answer(11, 6, "f6")])
    assert old.readiness is not None
    assert not old.readiness.holds
    assert old.after_probe(SIX, BOTH, [Answer(10, 6, "f6")]).ready_workers == BOTH


def test_workers_that_were_ready_stay_known_while_another_one_starts() -> None:
    ready = Evidence().after_probe(SIX, frozenset({TEN}), [Answer(10, 6, "f6")])
    assert ready.after_probe(SIX, BOTH, []).ready_workers == {TEN}


def test_a_refresh_stays_due_until_it_has_ended_and_makes_all_answers_void() -> None:
    ready = Evidence().after_probe(SIX, BOTH, [Answer(10, 6, "f6"), Answer(11, 6, "f6")])
    begun = ready.before_refresh(7)
    assert begun == Evidence(due=7)
    assert begun.forgotten().due == 7
    assert begun.after_refresh() == Evidence()


def test_a_refusal_lasts_until_the_next_refresh() -> None:
    refused = Evidence().before_refresh(7).after_refusal("it was not loaded in time").after_refresh()
    assert refused == Evidence(refused="it was not loaded in time")
    assert refused.before_refresh(6).refused is None


def test_workers_of_the_live_release_may_load_for_a_while_but_not_serve_another_release() -> None:
    silent = Evidence().after_probe(SIX, BOTH, []).after_mismatch(NOW)
    assert silent.may_still_load(NOW)
    later = silent.after_mismatch(NOW + MISMATCH_PATIENCE)
    assert later.may_still_load(NOW + MISMATCH_PATIENCE - SECOND)
    assert not later.may_still_load(NOW + MISMATCH_PATIENCE)
    wrong = Evidence().after_probe(SIX, BOTH, [Answer(10, 5, "f5")]).after_mismatch(NOW)
    assert not wrong.may_still_load(NOW)


def test_a_mismatch_ends_when_the_workers_are_ready_or_the_node_repairs_it() -> None:
    silent = Evidence().after_probe(SIX, BOTH, []).after_mismatch(NOW)
    assert silent.after_repair().mismatched_since is None
    assert silent.forgotten().mismatched_since == NOW
    answers = [Answer(10, 6, "f6"), Answer(11, 6, "f6")]
    assert silent.after_probe(SIX, BOTH, answers).mismatched_since is None
