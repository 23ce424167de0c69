"""Files that are either whole and safe on the disk, or not there."""

import errno
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from da_agent.errors import NodeBroken

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def write(path: Path, chunks: Iterable[bytes], mode: int = 0o600) -> None:
    """Make the new file `path` and return when its bytes are on the disk; after an error there is no such file.

    FileExistsError when there is one already. Its name is not safe before `sync_directory` of its folder.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise


def replace(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Make `data` the content of `path` in one step that survives a power cut; makes the folder where it is missing.

    Whoever reads meanwhile sees the old bytes or the new ones. Raises OSError; the old file is then still there,
    unless only the very last step, making the rename durable, failed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(6)}.new")
    write(unfinished, [data], mode)
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


@contextmanager
def on_this_node(task: str) -> Iterator[None]:
    """Blame the node for what its disk refuses: OSError becomes NodeBroken, "cannot `task`: …"."""
    try:
        yield
    except OSError as error:
        raise NodeBroken(f"cannot {task}: {complaint(error)}") from error


def complaint(error: OSError) -> str:
    """What the operating system says, and about which file."""
    reason = (error.strerror or str(error)).lower()
    remedy = "; make room there" if error.errno in FULL else ""
    return f"{reason} ({error.filename}){remedy}" if error.filename else f"{reason}{remedy}"
