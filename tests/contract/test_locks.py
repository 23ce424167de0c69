"""Does every lock keep the promises of ports.Lock?"""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from da_agent.adapters.locks import FileLock
from da_agent.errors import Busy
from da_agent.ports import Lock
from tests.fakes import FakeLock

MAKERS: dict[str, Callable[[Path], Lock]] = {
    "file": lambda folder: FileLock(folder / "agent" / "lock"),
    "fake": lambda folder: FakeLock(),
}
AT_ONCE = timedelta(0)
HOLD_FOR_EVER = """
import sys, signal
from datetime import timedelta
from pathlib import Path
from da_agent.adapters.locks import FileLock
with FileLock(Path(sys.argv[1])).hold(timedelta(0)):
    print("held", flush=True)
    signal.pause()
"""


@pytest.fixture(params=MAKERS)
def lock(request: pytest.FixtureRequest, tmp_path: Path) -> Lock:
    return MAKERS[request.param](tmp_path)


def test_a_free_lock_can_be_held_again_and_again(lock: Lock) -> None:
    for _ in range(3):
        with lock.hold(AT_ONCE):
            pass


def test_a_held_lock_is_busy_for_everybody_else(lock: Lock) -> None:
    with lock.hold(AT_ONCE):
        for _ in range(2):
            with pytest.raises(Busy, match="holds the lock of this node"), lock.hold(AT_ONCE):
                pass


def test_a_lock_is_free_after_an_error(lock: Lock) -> None:
    with pytest.raises(KeyError), lock.hold(AT_ONCE):
        raise KeyError
    with lock.hold(AT_ONCE):
        pass


def test_an_os_error_of_the_work_is_not_taken_for_one_of_the_lock(lock: Lock) -> None:
    with pytest.raises(FileNotFoundError), lock.hold(AT_ONCE):
        raise FileNotFoundError


def hold_in_another_process(path: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen([sys.executable, "-c", HOLD_FOR_EVER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def test_busy_names_the_process_that_holds_the_lock(tmp_path: Path) -> None:
    with hold_in_another_process(tmp_path / "lock") as process:
        for _ in range(2):  # the second to come must not find the name wiped away by the first
            with pytest.raises(Busy, match=rf"process {process.pid} \(-c {tmp_path}/lock\)"):
                FileLock(tmp_path / "lock").hold(AT_ONCE).__enter__()
        process.kill()


def test_a_dead_holder_holds_nothing(tmp_path: Path) -> None:
    with hold_in_another_process(tmp_path / "lock") as process:
        process.kill()
    with FileLock(tmp_path / "lock").hold(AT_ONCE):
        pass


def test_who_is_patient_gets_the_lock_when_it_becomes_free(tmp_path: Path) -> None:
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with FileLock(tmp_path / "lock").hold(AT_ONCE):
            held.set()
            release.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    timer = threading.Timer(0.2, release.set)
    timer.start()
    with FileLock(tmp_path / "lock").hold(timedelta(seconds=10)):
        assert release.is_set()
    thread.join()
    timer.join()


def test_patience_ends(tmp_path: Path) -> None:
    with FileLock(tmp_path / "lock").hold(AT_ONCE):
        begun = time.monotonic()
        with pytest.raises(Busy):
            FileLock(tmp_path / "lock").hold(timedelta(seconds=0.3)).__enter__()
        assert 0.3 <= time.monotonic() - begun < 5
