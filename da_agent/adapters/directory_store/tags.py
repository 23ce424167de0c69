"""The hash of the bytes of each file, computed again only when the file has changed."""

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

_CHUNK = 1024 * 1024
_RACY = 2 * 10**9
"""Nanoseconds within which the coarsest file systems give two writes the same time stamp."""


@dataclass(frozen=True, slots=True)
class _Stamp:
    """Status fields that change whenever the file does; one stat instead of reading the bytes."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int


class Tags:
    """Remembers the hash of a file while its stamp stays the same; `now` is the file system's clock in nanoseconds."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._last = 0
        self._known: dict[str, tuple[_Stamp, str]] = {}

    def known(self, key: str, status: os.stat_result) -> str | None:
        stamp, tag = self._known.get(key, (None, None))
        return tag if stamp == _stamp(status) else None

    def compute(self, key: str, descriptor: int) -> tuple[str, os.stat_result]:
        """The hash of an open file, and its status after reading."""
        before = os.fstat(descriptor)
        digest = hashlib.sha256()
        while chunk := os.read(descriptor, _CHUNK):
            digest.update(chunk)
        after = os.fstat(descriptor)
        tag = digest.hexdigest()
        if _stamp(before) == _stamp(after):
            # The clock of a read-only file system cannot be asked; its files are hashed each time.
            with suppress(OSError):
                if self._is_later_than(changed_at(after) + _RACY):
                    self._known[key] = (_stamp(after), tag)
        return tag, after

    def _is_later_than(self, moment: int) -> bool:
        """Whether the file system's clock is past `moment`. Asking creates a file, so the last answer comes first."""
        if self._last <= moment:
            self._last = self._now()
        return self._last > moment


def changed_at(status: os.stat_result) -> int:
    """Nanoseconds: the later of mtime and ctime, because `cp -p` and `mv` keep old modification times."""
    return max(status.st_mtime_ns, status.st_ctime_ns)


def _stamp(status: os.stat_result) -> _Stamp:
    return _Stamp(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
