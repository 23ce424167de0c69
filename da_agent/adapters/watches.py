"""Notices changes to the inbox or the ledger of a directory store at once."""

import errno
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver
from watchdog.observers.polling import PollingObserver

from da_agent import files
from da_agent.domain.store import keys

_REMOTE = re.compile(
    r"nfs4?|cifs|smb\d?|smbfs|9p|virtiofs|fuse.*|afs|ceph|glusterfs|lustre|gpfs|beegfs.*|ocfs2|gfs2|vboxsf|prl_fs"
)
"""File systems on which other machines change files without the knowledge of this kernel."""

_CHANGES = frozenset({"created", "modified", "moved", "deleted", "closed", "attrib"})
"""Opening and reading are no changes: otherwise the agent's own reads would wake it for ever."""

POLL = 2.0
REARRANGE = 5.0
_NO_INOTIFY = frozenset({errno.ENOSPC, errno.EMFILE, errno.ENFILE, errno.ENOSYS})
_FOLDERS = (keys.CERTIFICATES, keys.PACKAGES, keys.RELEASES)


@contextmanager
def watch(
    path: Path,
    wake: Callable[[], object],
    polling: bool | None,
    *,
    poll: float = POLL,
    rearrange: float = REARRANGE,
) -> Iterator[None]:
    """Call `wake`, from another thread, soon after the inbox or the ledger below `path` changes; sometimes needlessly.

    `polling`: True compares listings every `poll` seconds, False asks the kernel, None chooses the one that sees
    changes there. Raises nothing: a root that is missing, or disappears, is looked for every `rearrange` seconds.
    """
    observer = _Observer(path, wake, polling, poll=poll, rearrange=rearrange)
    thread = threading.Thread(target=observer.run, name="watch", daemon=True)
    observer.arrange()
    thread.start()
    try:
        yield
    finally:
        observer.end()
        thread.join()


def is_remote(path: Path) -> bool:
    """Whether other machines may change the files below `path`."""
    return changed_by_others(files.mount_of(path).kind)


def changed_by_others(kind: str) -> bool:
    """Whether inotify misses changes on this kind of file system, because they need not pass through this kernel."""
    return _REMOTE.fullmatch(kind) is not None


class _Observer(FileSystemEventHandler):
    """Keeps a watch on each existing folder of the inbox, as folders are created, removed and replaced.

    Only the root itself, the inbox's folders and the ledger are watched. Other folders hold the users' files, more than
    the kernel has watches for, and records that change all the time.
    """

    def __init__(
        self, root: Path, wake: Callable[[], object], polling: bool | None, *, poll: float, rearrange: float
    ) -> None:
        self._root = root
        self._wake = wake
        self._polling = polling
        self._poll = poll
        self._rearrange = rearrange
        self._observer: BaseObserver | None = None
        self._watched: dict[Path, tuple[int, int]] = {}
        self._look = threading.Event()
        self._ended = False

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type not in _CHANGES:
            return
        if any(self._concerns_us(os.fsdecode(path)) for path in (event.src_path, event.dest_path) if path):
            self._wake()
        if event.is_directory:
            self._look.set()

    def _concerns_us(self, path: str) -> bool:
        key = os.path.relpath(path, self._root)
        return key == keys.CONFIG or f"{key}/".startswith(_FOLDERS)

    def run(self) -> None:
        while not self._ended:
            self._look.wait(self._rearrange)
            self._look.clear()
            if not self._ended and self.arrange():
                # Files written between the creation of a folder and the watch on it have made no event.
                self._wake()
        self._stop_observer()

    def end(self) -> None:
        self._ended = True
        self._look.set()

    def arrange(self) -> bool:
        """Watch the folders that exist now; True when the watches have changed."""
        found = dict(self._folders())
        observer = self._observer
        alive = observer is not None and all(emitter.should_keep_running() for emitter in observer.emitters)
        if found == self._watched and (alive or not found):
            return False
        self._stop_observer()
        self._watched = self._start_observer(found)
        return True

    def _folders(self) -> Iterator[tuple[Path, tuple[int, int]]]:
        for path in (self._root, *(self._root / folder for folder in _FOLDERS)):
            try:
                status = path.stat()
            except OSError:
                continue
            if path.is_dir():
                yield path, (status.st_dev, status.st_ino)

    def _start_observer(self, found: dict[Path, tuple[int, int]]) -> dict[Path, tuple[int, int]]:
        """The folders that are watched now: none, to be tried again, when one has disappeared or cannot be read."""
        polling = is_remote(self._root) if self._polling is None else self._polling
        self._observer = PollingObserver(timeout=self._poll) if polling else Observer()
        try:
            for path in found:
                self._observer.schedule(self, str(path), recursive=path != self._root, follow_symlink=True)
            self._observer.start()
        except OSError as error:
            self._stop_observer()
            if error.errno in _NO_INOTIFY and not polling:
                self._polling = True
                return self._start_observer(found)
            return {}
        return found

    def _stop_observer(self) -> None:
        if self._observer is not None:
            self._observer.stop()
            if self._observer.is_alive():
                self._observer.join()
            self._observer = None
