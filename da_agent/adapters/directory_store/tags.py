"""The hash of each file's bytes, computed again only when the file has changed."""

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

_CHUNK = 1024 * 1024
_RACY = 2 * 10**9
"""Nanoseconds for which a file's time stamps cannot tell two writes apart, on the coarsest file systems."""


@dataclass(frozen=True, slots=True)
class _Stamp:
    """What changes whenever a file does; much cheaper to get than its bytes."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int


class Tags:
    """Remembers the hash of a file as long as its stamp is the same; `now` is the file system's clock."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._last = 0
        self._known: dict[str, tuple[_Stamp, str]] = {}

    def known(self, key: str, status: os.stat_result) -> str | None:
        stamp, tag = self._known.get(key, (None, None))
        return tag if stamp == _stamp(status) else None

    def compute(self, key: str, descriptor: int) -> tuple[str, os.stat_result]:
        """Hash an open file; the status is that after reading."""
        before = os.fstat(descriptor)
        digest = hashlib.sha256()
        while chunk := os.read(descriptor, _CHUNK):
            digest.update(chunk)
        after = os.fstat(descriptor)
        tag = digest.hexdigest()
        if _stamp(before) == _stamp(after):
            # A read-only file system has no clock to ask; its files are then read each time.
            with suppress(OSError):
                if self._is_later_than(changed_at(after) + _RACY):
                    self._known[key] = (_stamp(after), tag)
        return tag, after

    def _is_later_than(self, moment: int) -> bool:
        """The clock costs a file: it is asked only when what it said last does not suffice."""
        if self._last <= moment:
            self._last = self._now()
        return self._last > moment


def changed_at(status: os.stat_result) -> int:
    """Nanoseconds. The later of both times: `cp -p` and `mv` bring old modification times with them."""
    return max(status.st_mtime_ns, status.st_ctime_ns)


def _stamp(status: os.stat_result) -> _Stamp:
    return _Stamp(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
