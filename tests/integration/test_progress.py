"""What a person sees at a terminal, and what stands in a log."""

import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from da_agent.adapters.heartbeats import beating
from da_agent.adapters.progress import Lines, Watched
from tests import packages
from tests.fakes import SilentProgress
from tests.integration.test_resolvers import PYTHON

HERE = Path(__file__).parents[2]


class Log(io.StringIO):
    """A log whose reader can wait for its next line."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Semaphore(0)

    def write(self, text: str) -> int:
        length = super().write(text)
        self.written.release()
        return length

    def lines(self) -> list[str]:
        """Without their times."""
        return [line.split(" ", 2)[2] for line in self.getvalue().splitlines()]


class Hours:
    """A clock that is moved by whoever waits for it."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.begun = threading.Event()

    def pause(self, seconds: float) -> float:
        self.begun.wait(10)
        self.seconds += seconds
        return 0.005


# ---- lines


def test_a_log_has_one_line_about_what_is_short() -> None:
    log = Log()
    lines = Lines(log)
    with lines.work("downloading", 30, "bytes") as advance:
        for _ in range(3):
            advance(10)
    with lines.step("resolving packages"):
        pass
    with lines.work("building packages", 0, "packages"):
        pass
    assert log.lines() == ["downloading: 30 bytes", "resolving packages: done"]


def test_a_log_tells_of_long_work_how_far_it_is_and_how_long_it_goes_on_already() -> None:
    log, hours = Log(), Hours()
    lines = Lines(log, clock=lambda: hours.seconds, pause=hours.pause)
    with lines.work("downloading", 50_000_000, "bytes") as advance:
        advance(20_000_000)
        hours.begun.set()
        for _ in range(3):
            assert log.written.acquire(timeout=10)
    seconds = [int(found) for found in re.findall(r"for (\d+) s now", log.getvalue())]
    assert log.lines()[0] == "downloading: 20.0 MB of 50.0 MB, for 3 s now"
    assert seconds[:3] == [3, 13, 23]
    assert re.fullmatch(r"downloading: 20\.0 MB in \d+ s", log.lines()[-1])


def test_a_log_tells_what_is_being_waited_for() -> None:
    log, hours = Log(), Hours()
    with Lines(log, clock=lambda: hours.seconds, pause=hours.pause).step("waiting") as tell:
        tell("web-2 publishes the inbox")
        hours.begun.set()
        assert log.written.acquire(timeout=10)
    assert "waiting: web-2 publishes the inbox, for" in log.getvalue()


def test_a_closed_log_does_not_stop_the_work() -> None:
    log = io.StringIO()
    log.close()
    with Lines(log).step("resolving packages"):
        pass


# ---- what goes on now


def test_what_goes_on_is_known_to_whoever_asks() -> None:
    progress = Watched(SilentProgress())
    assert progress.now() is None
    with progress.step("Staging release 7") as tell:
        assert progress.now() == "Staging release 7"
        with progress.work("downloading", 278_000_000, "bytes") as advance:
            advance(120_000_000)
            assert progress.now() == "downloading: 120.0 MB of 278.0 MB"
        tell("environment")
        assert progress.now() == "Staging release 7: environment"
    assert progress.now() is None


def test_work_that_fails_no_longer_goes_on() -> None:
    progress = Watched(SilentProgress())
    with pytest.raises(OSError, match="broken"), progress.step("Staging"):
        raise OSError("broken")
    assert progress.now() is None


def test_a_heart_beats_while_its_owner_is_busy_and_stops_with_him() -> None:
    beats = threading.Semaphore(0)
    with beating(beats.release, timedelta(milliseconds=1)):
        for _ in range(3):
            assert beats.acquire(timeout=10)
    names = [thread.name for thread in threading.enumerate()]
    deadline = time.monotonic() + 10
    while "heartbeat" in names and time.monotonic() < deadline:
        names = [thread.name for thread in threading.enumerate()]
    assert "heartbeat" not in names


# ---- a terminal


class Terminal:
    """A command with a terminal of its own."""

    def __init__(self, *command: str, environment: dict[str, str]) -> None:
        self._end, end = pty.openpty()
        variables = {**environment, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
        self.process = subprocess.Popen(
            command, stdin=end, stdout=end, stderr=end, env=variables, cwd=HERE, start_new_session=True
        )
        os.close(end)
        self.text = ""

    def read_until(self, *parts: str, seconds: float = 60) -> None:
        """Read until all of `parts` were seen, or the command has ended."""
        deadline = time.monotonic() + seconds
        while not parts or not all(part in self.text for part in parts):
            assert time.monotonic() < deadline, self.text
            if select.select([self._end], [], [], 0.1)[0]:
                try:
                    self.text += os.read(self._end, 1 << 16).decode(errors="replace")
                except OSError:
                    return

    def close(self) -> int:
        self.read_until()
        os.close(self._end)
        return self.process.wait()

    @property
    def lines(self) -> list[str]:
        """What is left on the screen: without what was written over."""
        plain = re.sub(r"\x1b\[[?\d;]*[A-Za-z]", lambda found: "\r" if found[0].endswith(("A", "K")) else "", self.text)
        return [line.rsplit("\r", 1)[-1] for line in plain.replace("\r\n", "\n").split("\n")]


@pytest.fixture
def store(desk: Path) -> Path:
    store = desk / "store"
    store.mkdir()
    (store / "config.yml").write_text("secretkey: abcdefghijklmnop\nda agent:\n  quiet period: 0\n")
    return store


def pushing(desk: Path, store: Path, *arguments: str) -> Terminal:
    environment = {
        **os.environ,
        "DA_AGENT_STORE": f"file://{store}",
        "DA_AGENT_ROOT": str(desk / "nowhere"),
        "DA_AGENT_PYTHON": str(PYTHON),
    }
    return Terminal(sys.executable, "-m", "da_agent", "push", "package", *arguments, environment=environment)


def test_a_push_at_a_terminal_shows_each_step_and_leaves_one_line_of_each(desk: Path, store: Path) -> None:
    source = packages.sdist(desk / "inbox", "shop", "1.0", {"shop": ""}, setup="import time; time.sleep(1)")
    terminal = pushing(desk, store, str(source))
    assert terminal.close() == 16, "no node is alive"
    said = [line for line in terminal.lines if "✓" in line or "release" in line]
    titles = [line.replace("✓", "").strip().split(":")[0] for line in said]
    assert titles[:5] == [
        "building shop-1.0.tar.gz",
        "building packages",
        "resolving packages",
        "compiling packages",
        "checking packages",
    ]
    assert "uploading" in titles[5]
    assert "The inbox is release 1." in terminal.text
    assert "\x1b[?25l" in terminal.text, "a live display hides the cursor"
    assert terminal.text.rindex("\x1b[?25h") > terminal.text.rindex("\x1b[?25l"), "and gives it back"


def test_ctrl_c_gives_the_terminal_back_and_says_what_goes_on(desk: Path, store: Path) -> None:
    source = packages.sdist(desk / "inbox", "shop", "1.0", {"shop": ""}, setup="import time; time.sleep(60)")
    terminal = pushing(desk, store, str(source))
    terminal.read_until("building shop-1.0.tar.gz")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.close() == 130, terminal.text
    assert "a node publishes it" in terminal.text or "a node will publish" in terminal.text
    assert "Traceback" not in terminal.text
    assert terminal.text.rindex("\x1b[?25h") > terminal.text.rindex("\x1b[?25l"), repr(terminal.text)
