"""Replacing a link, file or folder by a link in one step."""

import ctypes
import errno
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from da_agent.domain.certificates.folders import Placed
from da_agent.held_folders import HeldFolder

_EXCHANGE = 2
_UNMOVABLE = frozenset({errno.EXDEV, errno.EBUSY, errno.EROFS, errno.EINVAL, errno.ENOSYS})
"""Errors for a mount, a folder of a container image, a read-only parent, or a file system without exchange of names."""


def link(parent: HeldFolder, name: str, target: Path) -> Placed | None:
    """Make `name` in `parent` a link to `target`; a folder with content is kept beside it under another name.

    None, with nothing changed, when that folder cannot be moved. May raise OSError.
    """
    place, new = parent.path / name, f".{name}.{secrets.token_hex(6)}.new"
    is_folder = parent.is_folder(name)
    try:
        parent.link(new, target)
        if not is_folder:
            parent.rename(new, name)
            return Placed(place, changed=True)
        _exchange(parent, new, name)
    except OSError as error:
        with suppress(OSError):
            parent.remove(new)
        if is_folder and error.errno in _UNMOVABLE:
            return None
        raise
    kept = f"{name}.replaced-{secrets.token_hex(3)}"
    try:
        parent.remove_folder(new)
        remark = ""
    except OSError:
        parent.rename(new, kept)
        remark = f"the previous contents are in {parent.path / kept}"
    parent.sync()
    return Placed(place, changed=True, remark=remark)


def _exchange(parent: HeldFolder, one: str, other: str) -> None:
    """Exchange two names in one step. Python does not offer renameat2. Raises OSError."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    names = (os.fsencode(one), os.fsencode(other))
    if call(parent.descriptor, names[0], parent.descriptor, names[1], ctypes.c_uint(_EXCHANGE)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), one, None, other)


def sweep(parent: HeldFolder, name: str) -> None:
    """Clean up after a process that was killed in `link`: remove its unused link, or rename the replaced folder."""
    for left in parent.names():
        if re.fullmatch(rf"\.{re.escape(name)}\..*\.new", left):
            if parent.leads_to(left) is not None:
                parent.remove(left)
            else:
                parent.rename(left, f"{name}.replaced-{secrets.token_hex(3)}")
