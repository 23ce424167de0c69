"""A question is answered as it would be without haste, or not waited for."""

from datetime import timedelta
from threading import Event

import pytest

from da_agent import ports
from da_agent.adapters.deadlines import within
from da_agent.errors import NotFound, Unreachable
from tests.fakes import NoDeadline


@pytest.mark.parametrize("deadline", [NoDeadline(), within(timedelta(seconds=60))])
def test_what_is_answered_in_time_is_as_it_was_said(deadline: ports.Deadline) -> None:
    def absent() -> int:
        raise NotFound("there is none")

    assert deadline(lambda: 7) == 7
    with pytest.raises(NotFound, match="there is none"):
        deadline(absent)


def test_what_is_late_is_not_waited_for() -> None:
    answered = Event()
    try:
        with pytest.raises(Unreachable, match=r"within 0\.01 seconds"):
            within(timedelta(milliseconds=10))(answered.wait)
    finally:
        answered.set()
