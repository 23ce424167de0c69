"""What passes between the agent and the builder: folders are made complete and then given away, files are copied.

The agent makes nothing in a folder that the builder owns already: the builder could put a link there in between.
Everything is opened once, without following a link, and then judged and used by its descriptor.
"""

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from da_agent.errors import Invalid, NodeBroken
from da_agent.processes import Account

PRIVATE = 0o700
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


def give(path: Path, account: Account | None) -> None:
    """Make the builder the owner of a file or folder in a folder of the agent, which no other user may use then.

    None for `account`: the builder is the agent's own user. NodeBroken when `path` belongs to a third user.
    """
    with _opened(path) as descriptor:
        found = os.fstat(descriptor)
        if found.st_uid not in {os.geteuid(), None if account is None else account.uid}:
            raise NodeBroken(f"cannot use {path}: it belongs to user {found.st_uid}; remove it")
        if account is not None:
            os.fchown(descriptor, account.uid, account.gid)
        os.fchmod(descriptor, PRIVATE if stat.S_ISDIR(found.st_mode) else 0o600)


def open_to(path: Path, account: Account | None) -> None:
    """Let the builder enter the agent's own folder `path`, and no other user."""
    with _opened(path, os.O_DIRECTORY) as descriptor:
        if account is None:
            os.fchmod(descriptor, PRIVATE)
        else:
            os.fchown(descriptor, os.geteuid(), account.gid)
            os.fchmod(descriptor, 0o750)


def take(made: Path, copy: Path, owner: int) -> None:
    """Copy what the user `owner` made to the new file `copy`: that user cannot change it after it is hashed.

    Only a file that the user owns alone is taken: a link, a pipe or a second name of another file may lead to what
    only the agent may read. Invalid for anything else; OSError when there is none.
    """
    with _made(made) as source:
        found = os.fstat(source)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != owner or found.st_nlink != 1:
            raise _refused(made.name)
        with os.fdopen(os.dup(source), "rb") as file, copy.open("xb") as sink:
            shutil.copyfileobj(file, sink, 1 << 20)
    copy.chmod(0o644)


@contextmanager
def _made(path: Path) -> Iterator[int]:
    with _opened(path.parent, os.O_DIRECTORY) as folder:
        try:
            # O_NONBLOCK: nothing waits for the other end of a pipe.
            descriptor = os.open(path.name, _READ | os.O_NONBLOCK, dir_fd=folder)
        except OSError as error:
            # A link, or a socket.
            if error.errno in (errno.ELOOP, errno.ENXIO):
                raise _refused(path.name) from error
            raise
        try:
            yield descriptor
        finally:
            os.close(descriptor)


@contextmanager
def _opened(path: Path, further: int = 0) -> Iterator[int]:
    descriptor = os.open(path, _READ | further)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _refused(name: str) -> Invalid:
    return Invalid(f"cannot use {name}, which a build made: it is not a file that belongs to the build alone")
