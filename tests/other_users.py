"""Parts of a test that run as another user of this machine, without any group but its own."""

import os
import pickle
import pwd
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def become(name: str) -> None:
    """This process becomes the user for good. Root alone can do that."""
    user = pwd.getpwnam(name)
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    os.chdir("/")


def as_user(name: str, work: Callable[[], T]) -> T:
    """What `work` returns in a forked process of the user `name`; AssertionError when it does not return."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            become(name)
            with os.fdopen(writing, "wb") as file:
                pickle.dump(work(), file)
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        data = file.read()
    _, status = os.waitpid(pid, 0)
    assert status == 0, f"the work of {name} has failed"
    result: T = pickle.loads(data)
    return result
