"""Does a wait end when it should: in time, when woken, when stopped by a thread or a signal?"""

import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from da_agent.adapters.clocks import SystemClock
from da_agent.errors import Stopped

LONG = timedelta(seconds=60)


def test_now_is_utc() -> None:
    before = datetime.now(UTC)
    assert before <= SystemClock().now() <= datetime.now(UTC)


def test_what_has_elapsed_is_counted_as_the_kernel_does_suspended_time_included() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= SystemClock().elapsed().total_seconds() + 1e-6 <= time.clock_gettime(time.CLOCK_BOOTTIME) + 2e-6


@pytest.mark.parametrize("seconds", [0, 0.05, 0.3])
def test_a_wait_that_nobody_disturbs_takes_its_time(seconds: float) -> None:
    begun = time.monotonic()
    assert SystemClock().wait(timedelta(seconds=seconds)) is False
    assert seconds <= time.monotonic() - begun < seconds + 5


def test_a_wait_for_the_past_returns_at_once() -> None:
    assert SystemClock().wait(timedelta(seconds=-5)) is False


def test_another_thread_can_wake_a_wait() -> None:
    clock = SystemClock()
    timer = threading.Timer(0.1, clock.wake)
    timer.start()
    begun = time.monotonic()
    assert clock.wait(LONG) is True
    assert time.monotonic() - begun < 30
    timer.join()


def test_a_wake_before_the_wait_is_not_lost_and_counts_once() -> None:
    clock = SystemClock()
    for _ in range(3):
        clock.wake()
    assert clock.wait(LONG) is True
    assert clock.wait(timedelta(seconds=0.05)) is False


def test_a_stop_ends_the_wait_and_every_later_one() -> None:
    clock = SystemClock()
    timer = threading.Timer(0.1, clock.stop)
    timer.start()
    for _ in range(3):
        with pytest.raises(Stopped):
            clock.wait(LONG)
    timer.join()


WAIT_FOR_A_SIGNAL = """
import signal
import sys
from datetime import timedelta
from da_agent.adapters.clocks import SystemClock
from da_agent.errors import Stopped
from da_agent.programs import commands
clock = SystemClock()
signal.signal(signal.SIGTERM, commands.stop)
try:
    print("waiting", flush=True)
    while True:
        clock.wait(timedelta(seconds=60))
except Stopped as stopped:
    sys.exit(stopped.exit_code)
"""


def test_a_signal_ends_a_program_at_once() -> None:
    command = [sys.executable, "-c", WAIT_FOR_A_SIGNAL]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143
