"""File operations that leave a file complete and durable, or absent."""

import errno
import os
import secrets
import stat
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from da_agent.domain.node import disk_space
from da_agent.domain.node.disk_space import Disk
from da_agent.domain.node.folder_rights import Folder
from da_agent.domain.store import inboxes, mounts
from da_agent.domain.store.mounts import Mount
from da_agent.errors import Invalid, NodeBroken

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class DiskFull(OSError):
    """The disk has no room for a file of `needed` bytes."""

    def __init__(self, error: OSError, path: Path, needed: int) -> None:
        super().__init__(error.errno, error.strerror, str(path))
        self.needed = needed


def write(path: Path, chunks: Iterable[bytes], mode: int = 0o600, size: int = disk_space.BLOCK) -> None:
    """Create the file `path` and return once its bytes are on the disk; after an error the file does not exist.

    FileExistsError when the file already exists. DiskFull, with `size` as the bytes needed, when the disk is full.
    The name of the file is durable only after `sync_directory` of its folder.
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
        # The operating system does not name the file here, and a message without it would not help.
        if isinstance(error, OSError) and error.errno in FULL and error.filename is None:
            raise DiskFull(error, path, size) from error
        raise


def replace(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace the content of `path` with `data` in one step that survives a power cut; creates a missing folder.

    A concurrent reader sees either the old bytes or the new ones. After an OSError the old file is still there,
    unless only the last step failed: making the rename durable.
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


def make_folders(folders: Iterable[Folder], group: int | None) -> None:
    """Make each of `folders` where it is missing, with its mode and the group id `group`. May raise OSError."""
    for folder in folders:
        folder.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        status = folder.path.stat()
        if group is not None and (status.st_uid, status.st_gid) != (os.geteuid(), group):
            os.chown(folder.path, os.geteuid(), group)
        if stat.S_IMODE(status.st_mode) != folder.mode:
            folder.path.chmod(folder.mode)


def close_to_others(folder: Path) -> None:
    """Take every right on `folder` from other users, where that can be changed. A missing folder stays missing."""
    with suppress(FileNotFoundError, PermissionError):
        mode = stat.S_IMODE(folder.stat().st_mode)
        if mode & 0o007:
            folder.chmod(mode & ~0o007)


def sync_directory(path: Path) -> None:
    """Return once the names in the folder `path` are on the disk. A rename is not durable before that."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def below(folder: Path) -> list[str]:
    """The sorted relative names of the files in a folder and its subfolders, without temporary files as in the inbox.

    Invalid for a link to a folder: it might lead anywhere, and skipping it would lose the files in it.
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
    """Turn an OSError inside the context into NodeBroken, "cannot `task`: …": the node's disk is the cause.

    `at` is the path that the task writes to, for an error that does not name a file.
    """
    try:
        yield
    except OSError as error:
        raise NodeBroken(f"cannot {task}: {complaint(error, at)}") from error


def complaint(error: OSError, at: Path | None = None) -> str:
    """The reason of the operating system and the file; for a full disk, the number of missing bytes."""
    # Of two names (a rename) the second is the one that is written.
    name = error.filename2 or error.filename or at
    if error.errno in FULL and name is not None:
        return full(Path(os.fsdecode(name)).parent if at is None else at, getattr(error, "needed", disk_space.BLOCK))
    reason = (error.strerror or str(error)).lower()
    return f"{reason} ({name})" if name else reason


def full(folder: Path, needed: int) -> str:
    """The sentence for a disk that has no room for `needed` bytes."""
    return disk_space.failed_write(disk(folder), needed)


def require_room(task: str, folder: Path, needed: int) -> None:
    """NodeBroken, "cannot `task`: …", when `needed` more bytes in `folder` would use up the reserve of the disk."""
    shortage = disk_space.shortage(disk(folder), needed)
    if shortage is not None:
        raise NodeBroken(f"cannot {task}: {shortage}")


def disk(folder: Path) -> Disk:
    """The disk that holds `folder`, or will hold it once it exists."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    status = os.statvfs(there)
    return Disk(str(folder), there.stat().st_dev, status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize)


def remove_tree(path: Path) -> None:
    """Remove the folder `path`, in which another user may work or have worked; what cannot be removed stays.

    `rm` follows no link and has no limit for the depth, which `shutil.rmtree` has: it ends with a RecursionError.
    """
    command = ["rm", "-rf", "--", str(path)]
    quiet = subprocess.DEVNULL
    subprocess.run(command, env={"PATH": os.defpath}, stdin=quiet, stdout=quiet, stderr=quiet, check=False)


def mount_of(path: Path) -> Mount:
    """The mount on which `path` lies, links resolved; `mounts.UNKNOWN` where the kernel does not tell."""
    try:
        table = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
    except OSError:
        return mounts.UNKNOWN
    return mounts.mount_of(table, os.path.realpath(path))
