"""What may be reached below the root of a directory store, and what it means when it cannot."""

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
"""Device and inode: which folder it is, by whatever name it was reached."""


class Root:
    """The folder at `path`, which must exist: a missing one is a mount that has not come yet, not an empty store."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._used = False

    def check(self) -> None:
        """Unreachable unless the folder is there, and still the store that it was when we saw it before."""
        # Asked before looking: another thread may be making the folder at this moment.
        known = self._used
        try:
            here = stat.S_ISDIR(self.path.stat().st_mode)
            used = here and (self.path / OURS).is_dir()
        except OSError as error:
            raise Unreachable(f"cannot use the store {self.path}: {files.complaint(error)}; is it mounted?") from error
        if not here:
            raise Unreachable(f"cannot use the store {self.path}: it is not a directory")
        # What is left where a mount went away is an empty folder. Taken for a new store, it would be given a ledger.
        if known and not used:
            raise Unreachable(f"cannot use the store {self.path}: its folder {OURS} has gone; is it still mounted?")
        if used:
            # Never back to False: two threads may look at the same time.
            self._used = True

    def place(self, key: str) -> Path:
        """Where `key` lies; Invalid when it is not a name below the root."""
        if not is_relative(key):
            raise Invalid(f"{key!r} is not a name for a file in the store {self.path}")
        return self.path / key

    def check_inside(self, key: str, path: Path) -> Path:
        """The real place of `path`; Forbidden when a symbolic link leads from `key` out of the root."""
        real = Path(os.path.realpath(path))
        if not self._holds(real):
            raise Forbidden(f"cannot use {key} in the store {self.path}: a symbolic link leads out of it, to {real}")
        return real

    def _holds(self, real: Path) -> bool:
        return real.is_relative_to(os.path.realpath(self.path))

    @contextmanager
    def open(self, key: str) -> Iterator[int]:
        """A descriptor of the file `key` for reading; FileNotFoundError when there is no regular one."""
        real = self.check_inside(key, self.place(key))
        # Without O_NONBLOCK a named pipe that somebody left in the inbox would hold us for ever.
        descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(real))
            yield descriptor
        finally:
            os.close(descriptor)

    def keys(self, prefix: str, after: str) -> Iterator[str]:
        """The names of all files that begin with `prefix` and sort behind `after`, by code point."""
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
            # A symbolic link to a folder above would be walked through for ever.
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
        """Names as they are in keys, folders with their slash ("a.b" sorts before "a/"), and where a folder lies."""
        with os.scandir(path) as entries:
            for entry in entries:
                # A name that is no text (bytes from another age) cannot become a key.
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
        """Translate OSError where `name` is read or listed: what is missing is Absent, if only the root is there."""
        try:
            yield
        except OSError as error:
            self.check()
            if error.errno in MISSING:
                raise NotFound(f"there is no {name} in the store {self.path}") from error
            raise self._judged(act, name, error) from error

    @contextmanager
    def writing(self, act: str, name: str) -> Iterator[None]:
        """Translate OSError where `name` is written or removed."""
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
    """Whether a wanted key can be below `folder`: `after` sorts before it, or somewhere in the middle of it."""
    return (folder.startswith(prefix) or prefix.startswith(folder)) and (folder > after or after.startswith(folder))
