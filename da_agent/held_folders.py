"""Folders that are held by descriptor, for work in places that another user can change.

Between two steps of root, that user could put a link in the place of a folder or a file. A descriptor names the same
folder for ever, and no step here follows a link in its last part. Methods may raise OSError, with the full path.
"""

import errno
import os
import re
import secrets
import stat
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

Ids = tuple[int, int]
"""A user id and a group id."""

UNFINISHED = re.compile(r"\..*\.[0-9a-f]{12}\.new")
"""The names of files that are not renamed yet, here and in `files`."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_STEP = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""A folder on the way may be one that this user can pass but not read."""

_FAR = 365 * 86400 * 10**9
"""Nanoseconds by which no clock is wrong."""

_MOST_LINKS = 40
"""The kernel's own limit for the links in one path."""


class HeldFolder:
    """The folder that was at `path` when it was opened. All names are plain names in it."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self.path = path

    def names(self) -> list[str]:
        return os.listdir(self._descriptor)  # noqa: PTH208

    def status(self, name: str) -> os.stat_result | None:
        """What lies there, a link as itself; None when there is nothing."""
        try:
            return os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def is_folder(self, name: str) -> bool:
        status = self.status(name)
        return status is not None and stat.S_ISDIR(status.st_mode)

    def leads_to(self, name: str) -> Path | None:
        """The target of a link; None when there is no link."""
        try:
            return Path(os.readlink(name, dir_fd=self._descriptor))
        except OSError:
            return None

    def read(self, name: str, most: int) -> bytes | None:
        """The content of a regular file of at most `most` bytes; None for anything else. Never waits for a pipe."""
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self._descriptor)
        except OSError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(most + 1) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
        return None if data is None or len(data) > most else data

    def replace(self, name: str, data: bytes, mode: int, ids: Ids | None = None) -> None:
        """Replace a file, or a link by a file, in one step that survives a power cut; `ids` become its owner."""
        unfinished = f".{name}.{secrets.token_hex(6)}.new"
        self.write(unfinished, data, mode, ids)
        try:
            self.rename(unfinished, name)
        except BaseException:
            self.remove(unfinished)
            raise

    def write(self, name: str, data: bytes, mode: int, ids: Ids | None = None) -> None:
        """Create a file and return once it is on the disk; after an error it does not exist."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, 0o600, dir_fd=self._descriptor)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(descriptor, mode)
                os.fsync(descriptor)
                # Last: from here on the new owner can do with the file what it likes.
                if ids:
                    os.fchown(descriptor, *ids)
        except BaseException as error:
            self.remove(name)
            if isinstance(error, OSError) and error.filename is None:
                error.filename = name
            raise

    def link(self, name: str, target: Path) -> None:
        os.symlink(target, name, dir_fd=self._descriptor)

    def rename(self, name: str, new: str) -> None:
        """A durable rename. Replaces a file or a link that is there."""
        os.rename(name, new, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
        self.sync()

    def remove(self, name: str) -> None:
        """Remove a file or a link, if there is one."""
        with suppress(FileNotFoundError, IsADirectoryError):
            os.unlink(name, dir_fd=self._descriptor)

    def remove_folder(self, name: str) -> None:
        """Remove an empty folder."""
        os.rmdir(name, dir_fd=self._descriptor)

    def touch(self, name: str, tick: int) -> None:
        """Set the modification time of a file to now, or to `tick` nanoseconds after its own when that is later."""
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self._descriptor)
        try:
            before, now = os.fstat(descriptor).st_mtime_ns, time.time_ns()
            # The clock may have gone back. A time of a far future, which another user has set, leaves no later one.
            later = now if before > now + _FAR else max(now, before + tick)
            os.utime(descriptor, ns=(later, later))
        finally:
            os.close(descriptor)

    def sync(self) -> None:
        """Return once the names in this folder are on the disk."""
        os.fsync(self._descriptor)

    @contextmanager
    def inside(self, name: str, *, make: int | None = None) -> Iterator["HeldFolder"]:
        """The folder `name` in this one, not a link to one; `make` is the mode with which a missing one is made."""
        if name in ("", ".", "..") or "/" in name:
            raise NotADirectoryError(errno.ENOTDIR, "not a plain name", name)
        try:
            descriptor = os.open(name, _FOLDER, dir_fd=self._descriptor)
        except FileNotFoundError:
            if make is None:
                raise
            descriptor = _made(self._descriptor, name, make)
        with _closed(descriptor, self.path / name) as folder:
            yield folder

    @property
    def descriptor(self) -> int:
        return self._descriptor


@contextmanager
def held(path: Path, *, make: int | None = None) -> Iterator[HeldFolder]:
    """The folder at the absolute `path`, with no link on the way that another user could have put there.

    `make` is the mode with which missing folders are made, whatever the umask.
    """
    try:
        descriptor = _opened(path, make)
    except OSError as error:
        error.filename = str(path)
        raise
    with _closed(descriptor, path) as folder:
        yield folder


@contextmanager
def _closed(descriptor: int, path: Path) -> Iterator[HeldFolder]:
    """Close the descriptor at the end, and complete the relative names in errors."""
    try:
        yield HeldFolder(descriptor, path)
    except OSError as error:
        if isinstance(error.filename, str) and not error.filename.startswith("/"):
            error.filename = str(path / error.filename)
        raise
    finally:
        os.close(descriptor)


def changeable(path: Path, users: Collection[Ids]) -> Path | None:
    """The first folder, of `path` and those above it, in which one of the `users` can exchange what is there."""
    uids, gids = zip(*users, strict=True) if users else ((), ())
    for folder in (path, *path.parents):
        status = folder.stat()
        mode, is_sticky = status.st_mode, bool(status.st_mode & stat.S_ISVTX)
        shares = bool(mode & stat.S_IWOTH) or (bool(mode & stat.S_IWGRP) and status.st_gid in gids)
        if status.st_uid in uids or (shares and not is_sticky):
            return folder
    return None


def _opened(path: Path, make: int | None) -> int:
    """A descriptor of the folder. ELOOP at a link that a user other than root could have made."""
    left, links = list(reversed(path.parts[1:])), 0
    descriptor = os.open("/", _STEP)
    try:
        while left:
            name = left.pop()
            try:
                deeper = os.open(name, _STEP, dir_fd=descriptor)
            except NotADirectoryError:
                # The kernel says this of a link, too.
                links += 1
                target = _target(descriptor, name, links)
                left += reversed(target.parts[1:] if target.is_absolute() else target.parts)
                deeper = os.open("/" if target.is_absolute() else ".", _STEP, dir_fd=descriptor)
            except FileNotFoundError:
                if make is None:
                    raise
                deeper = _made(descriptor, name, make)
            os.close(descriptor)
            descriptor = deeper
        return os.open(".", _FOLDER, dir_fd=descriptor)
    finally:
        os.close(descriptor)


def _made(parent: int, name: str, mode: int) -> int:
    """A descriptor of the folder `name`, which was missing. Its mode is set by the descriptor: the name may be a link
    by then."""
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=parent)
    descriptor = os.open(name, _FOLDER, dir_fd=parent)
    os.fchmod(descriptor, mode)
    return descriptor


def _target(descriptor: int, name: str, links: int) -> Path:
    link, folder = os.stat(name, dir_fd=descriptor, follow_symlinks=False), os.fstat(descriptor)
    if not stat.S_ISLNK(link.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if links > _MOST_LINKS or (os.geteuid() == 0 and not _is_roots(link, folder)):
        raise OSError(errno.ELOOP, f"{name} is a link that another user could have made")
    return Path(os.readlink(name, dir_fd=descriptor))


def _is_roots(link: os.stat_result, folder: os.stat_result) -> bool:
    """Whether root made the link, in a folder where no other user can put another one in its place."""
    alone = not folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or folder.st_mode & stat.S_ISVTX
    return link.st_uid == folder.st_uid == 0 and bool(alone)
