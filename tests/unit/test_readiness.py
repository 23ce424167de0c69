"""When the worker processes are ready with a release."""

import pytest

from da_agent.domain.application.readiness import Answer, Wanted, Worker, readiness_of

WORKERS = frozenset({Worker(10, 1.0), Worker(11, 1.0)})
SIX = Wanted(6, "f6")
OF_AN_OLDER_AGENT = Wanted(6, None)


@pytest.mark.parametrize(
    ("wanted", "answers", "holds"),
    [
        pytest.param(SIX, [Answer(10, 6, "f6"), Answer(11, 6, "f6")], True, id="all from the release"),
        pytest.param(SIX, [Answer(10, 5, "f6"), Answer(11, 6, "f6")], True, id="one from an older, equal release"),
        pytest.param(SIX, [Answer(10, 6, "f5"), Answer(11, 6, "f6")], False, id="the number alone proves nothing"),
        pytest.param(SIX, [Answer(10, 6, "f6")], False, id="one is silent"),
        pytest.param(SIX, [Answer(10, 6, "f6"), Answer(11, None)], False, id="one has loaded nothing yet"),
        pytest.param(SIX, [Answer(10, 6, "f6"), Answer(11, 6, "f6", "no database")], False, id="one is broken"),
        pytest.param(SIX, [Answer(10, 6, "f6"), Answer(11, 5, "f5"), Answer(11, 6, "f6")], True, id="newest counts"),
        pytest.param(OF_AN_OLDER_AGENT, [Answer(10, 6), Answer(11, 6)], True, id="numbers, without a fingerprint"),
        pytest.param(OF_AN_OLDER_AGENT, [Answer(10, 5), Answer(11, 6)], False, id="another number, without one"),
        pytest.param(SIX, [Answer(98, 6, "f6"), Answer(99, 6, "f6")], False, id="processes that have ended"),
    ],
)
def test_a_proof_needs_the_right_answer_of_every_worker(wanted: Wanted, answers: list[Answer], holds: bool) -> None:
    assert readiness_of(wanted, WORKERS, answers).holds == holds


def test_no_workers_prove_nothing() -> None:
    assert not readiness_of(SIX, [], []).holds


def test_only_the_release_in_question_is_called_broken() -> None:
    assert readiness_of(SIX, WORKERS, [Answer(10, 5, "f5", "no database")]).broken is None
    assert readiness_of(SIX, WORKERS, [Answer(10, 6, "f6", "no database")]).broken == "no database"
