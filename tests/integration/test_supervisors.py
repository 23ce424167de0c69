"""What supervisord makes of programs that it has given up, when they are begun again."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from da_agent.adapters.supervisors import Supervisord
from da_agent.errors import NodeBroken
from tests.clusters_of_witnesses import folder

WAITING = "echo $SUPERVISOR_PROCESS_NAME >> {mood}.tries; while test -e {mood}; do exit 1; done; sleep 1000"
"""A program that stays up unless it is spoilt."""

CONFIGURATION = """\
[supervisord]
nodaemon=true
pidfile={place}/pid
logfile={place}/log
childlogdir={place}
[unix_http_server]
file={place}/socket
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[program:fatal]
command={place}/sh -c "{script}"
startretries=0
startsecs=1
[program:insistent]
command={place}/sh -c "{script}"
startretries=1000
startsecs=1
[program:slow]
command={place}/sh -c "{script}"
startretries=0
startsecs=30
[program:idle]
command={place}/sh -c "exit 0"
autostart=false
startsecs=0
"""


class Programs:
    """A supervisord with programs that fail as long as the file `mood` is there."""

    def __init__(self, place: Path) -> None:
        self.mood = place / "mood"
        self.mood.touch()
        self.shell = place / "sh"
        self.shell.symlink_to("/bin/sh")
        path = place / "supervisord.conf"
        path.write_text(CONFIGURATION.format(place=place, script=WAITING.format(mood=self.mood)))
        self.process = subprocess.Popen(
            (sys.executable, "-m", "supervisor.supervisord", "-c", str(path)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.socket = place / "socket"
        self.supervisord = Supervisord(self.socket)

    def until_failed(self, *names: str) -> None:
        ends, failed = time.monotonic() + 60, tuple[str, ...]()
        while failed != names:
            assert time.monotonic() < ends, failed
            assert self.process.poll() is None
            time.sleep(0.05)
            # It does not answer at once.
            with suppress(NodeBroken):
                failed = self.supervisord.failed()

    def until_tried(self, name: str, times: int) -> None:
        tries, ends = self.mood.with_name("mood.tries"), time.monotonic() + 60
        while tries.read_text().split().count(name) < times:
            assert time.monotonic() < ends, tries.read_text()
            time.sleep(0.05)


@pytest.fixture
def programs() -> Iterator[Programs]:
    with folder() as place:
        made = Programs(place)
        try:
            made.until_failed("fatal", "insistent", "slow")
            yield made
        finally:
            made.process.terminate()
            made.process.wait(60)


def test_what_was_given_up_is_begun_again_all_at_once_and_counts_when_it_stays_up(programs: Programs) -> None:
    # supervisord waits one second more before each try: by now for longer than anybody should wait for it.
    programs.until_tried("insistent", 4)
    programs.mood.unlink()
    begun = time.monotonic()
    programs.supervisord.revive()
    assert programs.supervisord.failed() == programs.supervisord.starting() == ("fatal", "insistent", "slow")
    programs.until_failed("slow")
    assert time.monotonic() - begun < 10
    assert programs.supervisord.starting() == ("slow",)
    assert programs.supervisord.pid("slow") is not None
    assert programs.supervisord.pid("idle") is None


def test_what_fails_all_the_same_has_failed_once_more(programs: Programs) -> None:
    programs.supervisord.revive()
    ends = time.monotonic() + 60
    while programs.supervisord.starting() != ("insistent",):
        assert time.monotonic() < ends, programs.supervisord.starting()
        time.sleep(0.05)
    assert programs.supervisord.failed() == ("fatal", "insistent", "slow")


def test_what_cannot_be_begun_any_more_has_failed(programs: Programs) -> None:
    programs.until_tried("insistent", 2)
    programs.shell.unlink()
    programs.supervisord.revive()
    assert programs.supervisord.failed() == ("fatal", "insistent", "slow")


def test_what_somebody_has_stopped_need_not_stay_up(programs: Programs) -> None:
    programs.supervisord.revive()
    programs.until_tried("insistent", 3)
    programs.supervisord.stop("insistent")
    programs.until_failed("fatal", "slow")
