"""Files that are either whole and safe on the disk, or not there."""

import errno
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from da_agent.domain.node import disk_space
from da_agent.domain.node.disk_space import Disk
from da_agent.domain.store import inboxes
from da_agent.errors import Invalid, NodeBroken

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class DiskFull(OSError):
    """There was no room for a file of `needed` bytes."""

    def __init__(self, error: OSError, path: Path, needed: int) -> None:
        super().__init__(error.errno, error.strerror, str(path))
        self.needed = needed


def write(path: Path, chunks: Iterable[bytes], mode: int = 0o600, size: int = disk_space.BLOCK) -> None:
    """Make the new file `path` and return when its bytes are on the disk; after an error there is no such file.

    FileExistsError when there is one already; DiskFull, with the `size` that it was to have. Its name is not safe
    before `sync_directory` of its folder.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(descriptor)
    except BaseException as error:
        with suppress(OSError):
            path.unlink()
        # The system does not say in which file it had no room to write.
        if isinstance(error, OSError) and error.errno in FULL and error.filename is None:
            raise DiskFull(error, path, size) from error
        raise


def replace(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Make `data` the content of `path` in one step that survives a power cut; makes the folder where it is missing.

    Whoever reads meanwhile sees the old bytes or the new ones. Raises OSError; the old file is then still there,
    unless only the very last step, making the rename durable, failed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(6)}.new")
    write(unfinished, [data], mode, len(data))
    try:
        unfinished.replace(path)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Return when the names in the folder `path` are on the disk: a rename is not safe before."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def below(folder: Path) -> list[str]:
    """The relative names of what people have put into a folder and those below, by the rule of the inbox, sorted.

    Invalid for a folder that is a link: it might lead anywhere, and to pass it over would be to lose what is in it.
    """
    found = []
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if inboxes.is_temporary(name):
            continue
        if path.is_symlink() and path.is_dir():
            raise Invalid(f"cannot read {path}: it is a link to a folder; put that folder itself there, or its files")
        if path.is_file():
            found.append(name)
    return sorted(found)


@contextmanager
def on_this_node(task: str, at: Path | None = None) -> Iterator[None]:
    """NodeFailure the node for what its disk refuses: OSError becomes NodeBroken, "cannot `task`: …".

    `at` is where the task writes, for an error that does not say it.
    """
    try:
        yield
    except OSError as error:
        raise NodeBroken(f"cannot {task}: {complaint(error, at)}") from error


def complaint(error: OSError, at: Path | None = None) -> str:
    """What the operating system says, and about which file; of a full disk, how much is missing."""
    # Of two names the second is the one that was written.
    name = error.filename2 or error.filename or at
    if error.errno in FULL and name is not None:
        return full(Path(os.fsdecode(name)).parent if at is None else at, getattr(error, "needed", disk_space.BLOCK))
    reason = (error.strerror or str(error)).lower()
    return f"{reason} ({name})" if name else reason


def full(folder: Path, needed: int) -> str:
    """The sentence for a disk that has refused `needed` bytes."""
    return disk_space.refused(disk(folder), needed)


def require_room(task: str, folder: Path, needed: int) -> None:
    """NodeBroken, "cannot `task`: …", when `needed` bytes more in `folder` would take what is left to others."""
    shortage = disk_space.shortage(disk(folder), needed)
    if shortage is not None:
        raise NodeBroken(f"cannot {task}: {shortage}")


def disk(folder: Path) -> Disk:
    """The disk that `folder` lies on, or will lie on."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    status = os.statvfs(there)
    return Disk(str(folder), there.stat().st_dev, status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize)
