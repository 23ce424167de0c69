"""Reading and writing a directory store: whole files only, and one winner for each conditional write.

A create-only write hard-links a finished file; of many writers exactly one succeeds. Replacing and deleting take a
lock that network file systems share between nodes. Plain tools take no lock: the tag is the hash of the bytes, so a
change made by them shows as another tag.
"""

import errno
import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from da_agent import files
from da_agent.adapters.directory_store.roots import DENIED, LOCK, MISSING, OURS, UNFINISHED, Root
from da_agent.adapters.directory_store.tags import Tags, changed_at
from da_agent.domain.store import bodies, keys, mounts
from da_agent.domain.store.inboxes import Entry
from da_agent.errors import Conflict, Invalid, NotFound, OutcomeUnknown, StoreUnfit, Unreachable
from da_agent.ports import Always, Condition, IfAbsent, IfTag, Sink, Stored

_CHUNK = 1024 * 1024
_DAY = 24 * 3600
_LOCK_PATIENCE = 30.0
"""Seconds that a writer waits for the lock of the store."""
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})


class DirectoryStore:
    """A store in the directory `path`, which must exist."""

    def __init__(self, path: Path, lock_patience: float = _LOCK_PATIENCE) -> None:
        """`lock_patience` is the time in seconds that a write waits for another one."""
        self._lock_patience = lock_patience
        self._root = Root(path)
        self._path = self._root.path
        self._tags = Tags(self._now)
        self._sweep_at = 0.0

    @classmethod
    def create(cls, path: Path) -> "DirectoryStore":
        """The store at `path`, created if missing. Only for an admin who asks for a new store."""
        with files.on_this_node(f"create a store at {path}"):
            path.mkdir(parents=True, exist_ok=True)
        return cls(path)

    @property
    def name(self) -> str:
        return self._path.as_uri()

    @property
    def identity(self) -> str:
        self._root.check()
        with self._root.reading("look at", "the file system"):
            return f"{self._path.resolve()} on file system {os.statvfs(self._path).f_fsid:x}"

    def obstacle(self) -> str | None:
        # Where the lock is: the root may be a link, and `.agent` may be a mount of its own.
        return mounts.local_locks(files.mount_of(self._path / OURS))

    def clock(self) -> datetime:
        """The time (UTC) that the file system gives to a new file: on a network mount, the time of the server."""
        self._root.check()
        with self._root.writing("ask", "the clock"):
            return _moment(self._now())

    # ---- reading ----------------------------------------------------------------------------------------------

    def read(self, key: str) -> Stored:
        self._root.check()
        with self._root.reading("read", key), self._root.open(key) as descriptor:
            data = bodies.joined(iter(lambda: os.read(descriptor, _CHUNK), b""), key, self.name)
            # fstat comes after reading: a file that is written meanwhile must not seem older than the bytes read.
            return Stored(data, hashlib.sha256(data).hexdigest(), _modified_at(os.fstat(descriptor)))

    def fetch(self, key: str, sink: Sink, start: int = 0) -> None:
        with closing(self._stream(key, start)) as chunks:
            for chunk in chunks:
                sink(chunk)

    def _stream(self, key: str, start: int) -> Generator[bytes, None, None]:
        """The bytes of `key` from `start` on. Only errors of the store are translated, not those of the consumer."""
        self._root.check()
        with self._root.reading("read", key), self._root.open(key) as descriptor:
            os.lseek(descriptor, start, os.SEEK_SET)
            while chunk := os.read(descriptor, _CHUNK):
                yield chunk

    def scan(self, prefix: str, after: str = "") -> Iterator[Entry]:
        self._root.check()
        with self._root.reading("list", prefix or "everything"):
            for key in self._root.keys(prefix, after):
                # A file that is removed during the listing is left out.
                with suppress(NotFound):
                    yield self._entry(key)

    def survey(self, prefixes: Sequence[str]) -> Iterator[Entry]:
        for prefix in prefixes:
            yield from self.scan(prefix)

    def _entry(self, key: str) -> Entry:
        with self._root.reading("read", key):
            status = self._root.place(key).stat()
            # The name of a blob is its hash. Hashing gigabytes again just for their sizes and ages would take minutes.
            blob = key.startswith(keys.BLOBS)
            tag = key.rpartition("/")[2] if blob else self._tags.known(key, status)
            if tag is None:
                with self._root.open(key) as descriptor:
                    tag, status = self._tags.compute(key, descriptor)
            return Entry(key, status.st_size, tag, _modified_at(status))

    # ---- writing ----------------------------------------------------------------------------------------------

    def write(self, key: str, body: bytes | Path, when: Condition) -> str:
        path = self._root.place(key)
        self._root.check()
        with self._root.writing("write", key):
            if path.is_dir():
                raise Invalid(f"cannot write {key} in the store {self._path}: it is a folder")
            if isinstance(when, IfAbsent) and os.path.lexists(path):
                raise self._taken(key)
            self._sweep()
            digest = hashlib.sha256()
            unfinished = self._unfinished()
            try:
                files.write(unfinished, _chunks(body, digest.update), size=_size(body))
                self._give_to_owner(unfinished)
                self._make_folder(path.parent)
                self._commit(key, unfinished, path, when)
            finally:
                with suppress(OSError):
                    unfinished.unlink()
        return digest.hexdigest()

    def delete(self, key: str) -> None:
        path = self._root.place(key)
        self._root.check()
        with self._root.writing("delete", key):
            self._root.check_inside(key, path.parent)
            if path.is_symlink() or path.is_file():
                with self._locked(), suppress(FileNotFoundError):
                    path.unlink()
                    files.sync_directory(path.parent)

    def _commit(self, key: str, unfinished: Path, path: Path, when: Condition) -> None:
        """Link or rename the finished file to `path`. This is the commit point: readers see the whole file or none."""
        if isinstance(when, IfAbsent):
            with self._doubted(key):
                self._link(key, unfinished, path)
                files.sync_directory(path.parent)
        elif isinstance(when, IfTag):
            with self._locked():
                if self._tag(key) != when.tag:
                    raise Conflict(f"{key} in the store {self._path} was changed by another process")
                with self._doubted(key):
                    _rename(unfinished, path)
        else:
            assert isinstance(when, Always)
            with self._locked():  # without it, this rename could fall between the read and the rename of an IfTag write
                _rename(unfinished, path)

    def _tag(self, key: str) -> str:
        """The tag of an object of any size, now."""
        digest = hashlib.sha256()
        self.fetch(key, digest.update)
        return digest.hexdigest()

    def _link(self, key: str, unfinished: Path, path: Path) -> None:
        try:
            os.link(unfinished, path)
        except FileExistsError:
            # A network mount that lost the reply repeats the request; then the file in the way is this very link.
            if not os.path.samestat(path.lstat(), unfinished.lstat()):
                raise self._taken(key) from None
        except OSError as error:
            if error.errno in _NO_LINKS:
                raise StoreUnfit(f"cannot use the store {self._path}: its file system has no hard links") from error
            raise

    def _taken(self, key: str) -> Conflict:
        return Conflict(f"{key} is already in the store {self._path}")

    @contextmanager
    def _doubted(self, key: str) -> Iterator[None]:
        """OutcomeUnknown when a network mount fails in a way that leaves open whether `key` was written."""
        try:
            yield
        except OSError as error:
            if error.errno in DENIED | MISSING | files.FULL:
                raise
            raise OutcomeUnknown(
                f"cannot tell whether {key} was written to the store {self._path}: {files.complaint(error)}"
            ) from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time on all nodes together. NFS carries a flock to the server; it ends with its holder.

        Unreachable when another writer holds the lock for 30 seconds.
        """
        self._make_folder(self._path / OURS)
        descriptor = os.open(self._path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._give_to_owner(self._path / LOCK)
            self._await_lock(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _await_lock(self, descriptor: int) -> None:
        give_up_at, pause = time.monotonic() + self._lock_patience, 0.001
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > give_up_at:
                    raise Unreachable(
                        f"cannot change the store {self._path}: {LOCK} is still locked after "
                        f"{self._lock_patience:.0f} s; try again later"
                    ) from None
                time.sleep(pause)
                pause = min(2 * pause, 0.05)
            else:
                return

    def _unfinished(self) -> Path:
        folder = self._path / UNFINISHED
        self._make_folder(folder)
        return folder / secrets.token_hex(16)

    def _sweep(self) -> None:
        """Once a day, remove the unfinished files of dead writers: a living writer finishes within a day."""
        if time.monotonic() < self._sweep_at:
            return
        self._sweep_at = time.monotonic() + _DAY
        with suppress(OSError):
            now = self._now()
            for path in (self._path / UNFINISHED).iterdir():
                with suppress(OSError):
                    if now - path.lstat().st_mtime_ns > _DAY * 10**9:
                        path.unlink()

    def _make_folder(self, folder: Path) -> None:
        """Make `folder` and its missing parents, synced to the disk.

        Folders of the inbox get the mode of the root, folders below `.agent` mode 0700.
        """
        if folder.is_dir():
            self._root.check_inside(str(folder), folder)
            return
        # Never create the root: while it is not mounted, the data would land below the mount point.
        if folder == self._path:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
        self._make_folder(folder.parent)
        with suppress(FileExistsError):
            ours = folder.is_relative_to(self._path / OURS)
            folder.mkdir(0o700 if ours else self._path.stat().st_mode & 0o777)
            self._give_to_owner(folder)
            files.sync_directory(folder.parent)

    def _give_to_owner(self, path: Path) -> None:
        """Files that root writes get the owner of the store: nodes that run as that user must read them."""
        if os.geteuid() == 0:
            owner = self._path.stat()
            with suppress(OSError):
                if path.stat().st_uid != owner.st_uid:
                    os.chown(path, owner.st_uid, owner.st_gid)

    def _now(self) -> int:
        path = self._unfinished()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.utime(descriptor)
            return os.fstat(descriptor).st_mtime_ns
        finally:
            os.close(descriptor)
            with suppress(OSError):
                path.unlink()


def _rename(unfinished: Path, path: Path) -> None:
    unfinished.replace(path)
    files.sync_directory(path.parent)


def _size(body: bytes | Path) -> int:
    if isinstance(body, bytes):
        return len(body)
    with files.on_this_node(f"read {body}"):
        return body.stat().st_size


def _chunks(body: bytes | Path, update: Callable[[bytes], object]) -> Iterator[bytes]:
    """The body in chunks; `update` gets each of them, too. NodeBroken when the local file cannot be read."""
    if isinstance(body, bytes):
        update(body)
        yield body
        return
    with files.on_this_node(f"read {body}"):
        file = body.open("rb")
    with file:
        while True:
            with files.on_this_node(f"read {body}"):
                chunk = file.read(_CHUNK)
            if not chunk:
                return
            update(chunk)
            yield chunk


def _modified_at(status: os.stat_result) -> datetime:
    return _moment(changed_at(status))


def _moment(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 10**9, UTC)
