"""A question is answered as it would be without haste, or not waited for."""

from datetime import timedelta
from threading import Event

import pytest

from da_agent import ports
from da_agent.adapters.hastes import Haste
from da_agent.errors import Absent, Unreachable
from tests.fakes import NoHaste


@pytest.mark.parametrize("haste", [NoHaste(), Haste(timedelta(seconds=60))])
def test_what_is_answered_in_time_is_as_it_was_said(haste: ports.Haste) -> None:
    def absent() -> int:
        raise Absent("there is none")

    assert haste.ask(lambda: 7) == 7
    with pytest.raises(Absent, match="there is none"):
        haste.ask(absent)


def test_what_is_late_is_not_waited_for() -> None:
    answered = Event()
    try:
        with pytest.raises(Unreachable, match=r"within 0\.01 seconds"):
            Haste(timedelta(milliseconds=10)).ask(answered.wait)
    finally:
        answered.set()
