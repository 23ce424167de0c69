"""Replacing a link, file or folder by a link in one step."""

import ctypes
import errno
import os
import secrets
from contextlib import suppress
from pathlib import Path

from da_agent import files
from da_agent.domain.certificates.folders import Placed

_AT_FDCWD = -100
_EXCHANGE = 2
_UNMOVABLE = frozenset({errno.EXDEV, errno.EBUSY, errno.EROFS, errno.EINVAL, errno.ENOSYS})
"""Errors for a mount, a folder of a container image, a read-only parent, or a file system without exchange of names."""


def link(place: Path, target: Path) -> Placed | None:
    """Make `place` a link to `target`; a folder with content is kept beside it under another name.

    None, with nothing changed, when that folder cannot be moved. May raise OSError.
    """
    new = place.with_name(f".{place.name}.{secrets.token_hex(6)}.new")
    is_folder = place.is_dir() and not place.is_symlink()
    try:
        new.symlink_to(target)
        if not is_folder:
            new.replace(place)
            files.sync_directory(place.parent)
            return Placed(place, changed=True)
        _exchange(new, place)
    except OSError as error:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        if is_folder and error.errno in _UNMOVABLE:
            return None
        raise
    kept = place.with_name(f"{place.name}.replaced-{secrets.token_hex(3)}")
    if any(new.iterdir()):
        new.rename(kept)
    else:
        new.rmdir()
    files.sync_directory(place.parent)
    return Placed(place, changed=True, remark=f"the previous contents are in {kept}" if kept.exists() else "")


def _exchange(one: Path, other: Path) -> None:
    """Exchange two names in one step. Python does not offer renameat2. Raises OSError."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    names = (os.fsencode(one), os.fsencode(other))
    if call(_AT_FDCWD, names[0], _AT_FDCWD, names[1], ctypes.c_uint(_EXCHANGE)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(one), None, str(other))


def sweep(place: Path) -> None:
    """Clean up after a process that was killed in `link`: remove its unused link, or rename the replaced folder."""
    for path in place.parent.glob(f".{place.name}.*.new"):
        if path.is_symlink():
            path.unlink(missing_ok=True)
        else:
            path.rename(place.with_name(f"{place.name}.replaced-{secrets.token_hex(3)}"))
