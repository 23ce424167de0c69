"""The body of one answer as a stream: complete, from the right offset, and not too slow."""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from da_agent.adapters.s3_store.answers import translated
from da_agent.errors import Unreachable

STREAM = "Stream"
"""The key of the raw stream in an answer. Its `read1` returns the bytes that have arrived, without waiting for more."""

_CHUNK = 1024 * 1024
_PACE_BYTES = 32 * 1024
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class Body:
    """The answer of get_object. It can be read once, by one thread."""

    def __init__(self, answer: Any, act: str, store: str, pace: float) -> None:
        """`act` (such as "read config.yml") and `store` (its URL) are for error messages. `pace` is in seconds."""
        self._answer = answer
        self._act = act
        self._store = store
        self._pace = pace

    @property
    def tag(self) -> str:
        tag: str = self._answer.get("ETag", "")
        return tag

    @property
    def modified_at(self) -> datetime:
        at: datetime = self._answer["LastModified"]
        return at.astimezone(UTC)

    @property
    def chunks(self) -> Iterator[bytes]:
        """The bytes as they arrive. Only errors of the store are translated, not those of the consumer.

        Unreachable when less than 32 KiB arrive in `pace` seconds of waiting, or when the length is wrong.
        """
        stream, length = self._answer[STREAM], self._answer.get("ContentLength")
        pace, received = _Pace(self._pace), 0
        while True:
            asked_at = time.monotonic()
            with translated(self._act, self._store):
                chunk = stream.read1(_CHUNK)
            if not chunk:
                break
            received += len(chunk)
            if not pace.keeps(len(chunk), time.monotonic() - asked_at):
                raise self._unreachable(f"less than {_PACE_BYTES // 1024} KiB arrived in {self._pace:.0f} seconds")
            yield chunk
        if length is not None and received != length:
            raise self._unreachable(f"it sent {received} of {length} bytes")

    def rest(self, start: int) -> Iterator[bytes]:
        """The bytes of the object from `start` on. A store without ranges sends all bytes; the first ones are dropped.

        Unreachable when the store sends another range.
        """
        told = self._answer.get("ContentRange")
        surplus = start
        if told is not None:
            place = _RANGE.fullmatch(told)
            if place is None or int(place[1]) != start:
                raise self._unreachable(f"asked for the bytes from {start} on, it sent {told!r}")
            surplus = 0
        for chunk in self.chunks:
            if len(chunk) > surplus:
                yield chunk[surplus:] if surplus else chunk
            surplus = max(0, surplus - len(chunk))

    def _unreachable(self, reason: str) -> Unreachable:
        return Unreachable(f"cannot {self._act} in the store {self._store}: {reason}")


class _Pace:
    """Measures whether a slow store sends enough. Only the time spent waiting for the store counts."""

    def __init__(self, period: float) -> None:
        """`period` in seconds."""
        self._period = period
        self._seconds = 0.0
        self._bytes = 0

    def keeps(self, size: int, seconds: float) -> bool:
        self._bytes += size
        self._seconds += seconds
        if self._seconds < self._period:
            return True
        enough = self._bytes >= _PACE_BYTES
        self._seconds, self._bytes = 0.0, 0
        return enough
