"""Paths below the root of a directory store, and the translation of OSError into the agent's errors."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from da_agent import files
from da_agent.domain.store.names import is_encodable, is_relative
from da_agent.errors import Forbidden, Invalid, NotFound, Unreachable

OURS = ".agent"
UNFINISHED = ".agent/tmp/"
LOCK = ".agent/lock"

DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
MISSING = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO})

_Mark = tuple[int, int]
"""Device and inode: they identify a folder, whichever name leads to it."""


class Root:
    """The folder at `path`, which must exist: a missing folder is a mount that is not there yet, not an empty store."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._used = False

    def check(self) -> None:
        """Unreachable unless the folder exists and still has its `.agent` folder, if it ever had one."""
        # Read before the look at the disk: another thread may create `.agent` in between.
        known = self._used
        try:
            here = stat.S_ISDIR(self.path.stat().st_mode)
            used = here and (self.path / OURS).is_dir()
        except OSError as error:
            raise Unreachable(f"cannot use the store {self.path}: {files.complaint(error)}; is it mounted?") from error
        if not here:
            raise Unreachable(f"cannot use the store {self.path}: it is not a directory")
        # A lost mount leaves an empty folder behind. Taken for a new store, it would get a ledger of its own.
        if known and not used:
            raise Unreachable(
                f"cannot use the store {self.path}: its folder {OURS} has disappeared; is it still mounted?"
            )
        if used:
            # Never reset to False: a thread with an older look would undo what another one has found.
            self._used = True

    def place(self, key: str) -> Path:
        """The path of `key`; Invalid when `key` is no name below the root."""
        if not is_relative(key):
            raise Invalid(f"{key!r} is not a name for a file in the store {self.path}")
        return self.path / key

    def check_inside(self, key: str, path: Path) -> Path:
        """`path` with symbolic links resolved; Forbidden when they lead out of the root. `key` is for the message."""
        real = Path(os.path.realpath(path))
        if not self._holds(real):
            raise Forbidden(f"cannot use {key} in the store {self.path}: a symbolic link leads out of it, to {real}")
        return real

    def _holds(self, real: Path) -> bool:
        return real.is_relative_to(os.path.realpath(self.path))

    @contextmanager
    def open(self, key: str) -> Iterator[int]:
        """A descriptor for reading the file `key`; FileNotFoundError when it is missing or not a regular file."""
        real = self.check_inside(key, self.place(key))
        # Without O_NONBLOCK, opening a named pipe in the inbox would block for ever.
        descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(real))
            yield descriptor
        finally:
            os.close(descriptor)

    def keys(self, prefix: str, after: str) -> Iterator[str]:
        """The keys of all files that begin with `prefix` and sort after `after`, in order of code points."""
        folder = prefix.rpartition("/")[0]
        start = folder and f"{folder}/"
        if start.startswith(UNFINISHED):
            return
        path = self.check_inside(folder, self.place(folder)) if folder else self.path
        yield from self._walk(start, path, prefix, after, frozenset())

    def _walk(self, folder: str, path: Path, prefix: str, after: str, above: frozenset[_Mark]) -> Iterator[str]:
        try:
            status = path.stat()
            mark = (status.st_dev, status.st_ino)
            # A symbolic link to a parent folder would never end.
            entries = [] if mark in above else sorted(self._entries(path))
        except (FileNotFoundError, NotADirectoryError):
            self.check()
            return
        for name, below in entries:
            key = folder + name
            if not below:
                if key.startswith(prefix) and key > after and key != LOCK:
                    yield key
            elif key != UNFINISHED and _may_hold(key, prefix, after):
                yield from self._walk(key, below, prefix, after, above | {mark})

    def _entries(self, path: Path) -> Iterator[tuple[str, Path | None]]:
        """The name of each entry as in keys, with the path of a folder and None for a file.

        The name of a folder ends with a slash, for the order of keys: "a.b" sorts before "a/".
        """
        with os.scandir(path) as entries:
            for entry in entries:
                # A name that is not valid UTF-8 cannot become a key.
                if not is_encodable(entry.name):
                    continue
                below = Path(entry.path)
                if entry.is_symlink():
                    below = Path(os.path.realpath(below))
                    if not self._holds(below):
                        continue
                if below.is_dir():
                    yield f"{entry.name}/", below
                elif below.is_file():
                    yield entry.name, None

    @contextmanager
    def reading(self, act: str, name: str) -> Iterator[None]:
        """Translate OSError while `name` is read or listed. NotFound when it is missing and the root is there."""
        try:
            yield
        except OSError as error:
            self.check()
            if error.errno in MISSING:
                raise NotFound(f"there is no {name} in the store {self.path}") from error
            raise self._judged(act, name, error) from error

    @contextmanager
    def writing(self, act: str, name: str) -> Iterator[None]:
        """Translate OSError while `name` is written or removed. Invalid when `name` cannot be a file here."""
        try:
            yield
        except OSError as error:
            self.check()
            if error.errno in MISSING - {errno.ENOENT}:
                raise Invalid(f"cannot {act} {name} in the store {self.path}: {files.complaint(error)}") from error
            raise self._judged(act, name, error) from error

    def _judged(self, act: str, name: str, error: OSError) -> Exception:
        complaint = files.complaint(error, self.path if error.errno in files.FULL else None)
        sentence = f"cannot {act} {name} in the store {self.path}: {complaint}"
        if error.errno in DENIED:
            return Forbidden(f"{sentence}; check who owns the files, and whether the file system is read-only")
        return Unreachable(sentence)


def _may_hold(folder: str, prefix: str, after: str) -> bool:
    """Whether `folder` can hold a key that begins with `prefix` and sorts after `after`."""
    return (folder.startswith(prefix) or prefix.startswith(folder)) and (folder > after or after.startswith(folder))
