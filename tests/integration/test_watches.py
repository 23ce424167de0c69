"""Is the agent woken by what people put into the inbox, and by nothing else?"""

import errno
import os
import queue
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from watchdog.observers.inotify import InotifyObserver

from da_agent.adapters.directory_store import DirectoryStore
from da_agent.adapters.watches import watch
from da_agent.ports import Always, IfAbsent


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "store"
    (root / "certs").mkdir(parents=True)
    return root


class Bell:
    """Counts nothing: it either has rung since somebody last heard it, or not."""

    def __init__(self) -> None:
        self._rings: queue.Queue[None] = queue.Queue()

    def ring(self) -> None:
        self._rings.put(None)

    def heard(self, within: float = 20) -> bool:
        try:
            self._rings.get(timeout=within)
        except queue.Empty:
            return False
        return True

    def hush(self) -> None:
        """Wait until it has been silent for a while."""
        while self.heard(within=0.6):
            pass


@contextmanager
def watching(root: Path, polling: bool | None) -> Iterator[Bell]:
    bell = Bell()
    with watch(root, bell.ring, polling, poll=0.1, rearrange=0.2):
        yield bell


@pytest.mark.parametrize("polling", [False, True, None])
def test_every_change_of_the_inbox_wakes(root: Path, polling: bool | None) -> None:
    with watching(root, polling) as bell:
        for act in (
            lambda: (root / "config.yml").write_bytes(b"first"),
            lambda: (root / "config.yml").write_bytes(b"second version"),
            lambda: (root / "certs/docassemble.crt").write_bytes(b"x"),
            (root / "packages").mkdir,
            lambda: (root / "packages/requirements.txt").write_bytes(b"six"),
            (root / "certs/docassemble.crt").unlink,
            lambda: shutil.copy2(__file__, root / "packages/a.whl"),
            lambda: DirectoryStore(root).write("config.yml", b"third", Always()),
            lambda: DirectoryStore(root).write("certs/new", b"", IfAbsent()),
            lambda: shutil.rmtree(root / "packages"),
            lambda: DirectoryStore(root).write(".agent/releases/0000000001.json", b"1", IfAbsent()),
        ):
            bell.hush()
            act()
            assert bell.heard()


@pytest.mark.parametrize("polling", [False, True])
def test_neither_our_own_records_nor_the_users_files_nor_reading_wake(root: Path, polling: bool) -> None:
    store = DirectoryStore(root)
    store.write("config.yml", b"x", Always())
    store.write(".agent/nodes/a.json", b"0", Always())
    (root / "files").mkdir()
    with watching(root, polling) as bell:
        bell.hush()
        store.write(".agent/nodes/a.json", b"1", Always())
        (root / "files/upload.pdf").write_bytes(b"x")
        (root / "unknown.txt").write_bytes(b"x")
        store.read("config.yml")
        list(store.scan(""))
        assert not bell.heard(within=1)
        (root / "config.yml").write_bytes(b"y")
        assert bell.heard()


@pytest.mark.parametrize("polling", [False, True])
def test_a_root_that_comes_goes_and_comes_back_is_watched_again(root: Path, polling: bool) -> None:
    root.rename(root.with_name("away"))
    with watching(root, polling) as bell:
        for _ in range(2):
            bell.hush()
            root.with_name("away").rename(root)
            assert bell.heard()
            bell.hush()
            (root / "certs/a").write_bytes(os.urandom(10))
            assert bell.heard()
            bell.hush()
            root.rename(root.with_name("away"))
            assert bell.heard()


@pytest.mark.parametrize("polling", [False, True])
def test_a_folder_that_is_replaced_is_watched_again(root: Path, polling: bool) -> None:
    with watching(root, polling) as bell:
        bell.hush()
        shutil.rmtree(root / "certs")
        (root / "certs").mkdir()
        bell.hush()
        (root / "certs/a").write_bytes(b"x")
        assert bell.heard()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE])
def test_where_the_kernel_has_no_watches_left_listings_are_compared(
    root: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    asked = []

    def refuse(observer: InotifyObserver) -> None:
        asked.append(observer)
        raise OSError(number, "inotify watch limit reached")

    monkeypatch.setattr(InotifyObserver, "on_thread_start", refuse)
    with watching(root, polling=False) as bell:
        bell.hush()
        (root / "certs/a").write_bytes(b"x")
        assert bell.heard()
    assert asked


@pytest.mark.parametrize("polling", [False, True])
def test_no_thread_outlives_a_watch(root: Path, polling: bool) -> None:
    before = set(threading.enumerate())
    with watching(root, polling):
        assert set(threading.enumerate()) > before
    assert set(threading.enumerate()) == before
