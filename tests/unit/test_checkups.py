"""Whether a release is well, and for how long that is looked at."""

from datetime import timedelta

import pytest

from da_agent import ports
from da_agent.domain.config.settings import Health
from da_agent.workflows.node.checkups import LEAST, Checkup
from tests.fake_nodes import FakeInstallation, FakePrograms, FakeWeb
from tests.fakes import FakeClock

HEALTH = Health(path="/health", status=200, text="fine", command="true")


class SlowWeb(FakeWeb):
    """A page that takes its time, and all that there is when that is less."""

    def __init__(self, clock: FakeClock, seconds: float, reply: ports.Reply | None) -> None:
        super().__init__(FakeInstallation())
        self.clock = clock
        self.takes = timedelta(seconds=seconds)
        self.reply = reply

    def get(self, path: str, *, warming: bool, patience: timedelta) -> ports.Reply | None:
        super().get(path, warming=warming, patience=patience)
        self.clock.time += min(self.takes, patience)
        return self.reply if self.takes <= patience else None


class Programs(FakePrograms):
    """Remembers how long a command was given."""

    given: timedelta | None = None

    def run(self, number: int, command: str, patience: timedelta) -> ports.Ended:
        self.given = patience
        return super().run(number, command, patience)


@pytest.mark.parametrize(
    ("takes", "complaint", "left"),
    [
        pytest.param(0, None, 30, id="at once"),
        pytest.param(12, None, 18, id="the page and the command share the time"),
        pytest.param(30, None, 1, id="the page needs it all"),
        pytest.param(31, "GET /health timed out", None, id="the page needs more"),
    ],
)
def test_the_whole_check_takes_no_longer_than_it_may(takes: int, complaint: str | None, left: int | None) -> None:
    clock, programs = FakeClock(), Programs()
    web = SlowWeb(clock, takes, ports.Reply(200, b"all is fine"))
    checkup = Checkup(web, programs, programs, clock)
    assert checkup.failing(1, HEALTH, timedelta(seconds=30)) == complaint
    assert web.patiences == [timedelta(seconds=30)]
    assert programs.given == (None if left is None else timedelta(seconds=left))


def test_however_little_time_is_left_a_page_is_asked_for() -> None:
    clock, programs = FakeClock(), Programs()
    web = SlowWeb(clock, 0, ports.Reply(200, b"fine"))
    assert Checkup(web, programs, programs, clock).page(HEALTH, timedelta(seconds=-5), warming=True) is None
    assert web.patiences == [LEAST]


@pytest.mark.parametrize(
    ("status", "complaint"),
    [(200, None), (302, None), (404, None), (499, None), (500, "GET / answers 500"), (503, "GET / answers 503")],
)
def test_where_nothing_is_said_the_front_page_is_asked_and_must_not_have_failed(
    status: int, complaint: str | None
) -> None:
    clock, programs = FakeClock(), Programs()
    web = SlowWeb(clock, 0, ports.Reply(status, b""))
    assert Checkup(web, programs, programs, clock).failing(1, Health(), timedelta(seconds=30)) == complaint


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        (ports.Reply(500, b"fine"), "GET /health answers 500 instead of 200"),
        (ports.Reply(200, b"bad"), "GET /health answers without the text 'fine'"),
        (None, "GET /health timed out"),
    ],
)
def test_what_is_wrong_with_a_page_is_said(reply: ports.Reply | None, complaint: str) -> None:
    clock, programs = FakeClock(), Programs()
    checkup = Checkup(SlowWeb(clock, 0, reply), programs, programs, clock)
    assert checkup.page(HEALTH, timedelta(seconds=30), warming=False) == complaint
