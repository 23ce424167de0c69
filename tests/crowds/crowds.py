"""The crowd as a test sees it."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import msgspec

from tests.crowds.visitors import Plan
from tests.crowds.visits import Visit

HERE = Path(__file__).parents[2]


class Crowd:
    """Visits `url` while the context is open; the last visitors have left when it is closed.

    `rate` visits a second, half on kept and half on new connections; every `long_every` seconds one more begins, which
    the application answers after `long` seconds. All begin on time, also while others wait for their answers.
    """

    def __init__(self, url: str, *, rate: float = 200.0, long: float = 4.0, long_every: float = 1.0) -> None:
        where = urlsplit(url)
        assert where.hostname is not None
        assert where.port is not None
        self._plan = Plan(where.hostname, where.port, rate, long, long_every)
        self._visits: list[Visit] = []
        self._changed = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self._reader = threading.Thread(target=self._read, name="crowd", daemon=True)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crowds", msgspec.json.encode(self._plan).decode()],
            cwd=HERE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._reader.start()
        self.wait_for(lambda _: True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        process.stdin.close()
        self._reader.join()
        assert process.wait() == 0, "the crowd has failed: see its traceback"

    @property
    def visits(self) -> list[Visit]:
        """Those that have ended."""
        with self._changed:
            return list(self._visits)

    @property
    def failures(self) -> list[Visit]:
        return [visit for visit in self.visits if visit.problem is not None]

    def between(self, begin: float, end: float) -> list[Visit]:
        """The visits that were under way at any time between the two."""
        return [visit for visit in self.visits if visit.began <= end and visit.ended >= begin]

    def wait_for(self, wanted: Callable[[Visit], bool], seconds: float = 60.0, count: int = 1) -> None:
        """Return when `count` visits that end from now on are `wanted`; AssertionError after `seconds`."""
        ends = time.monotonic() + seconds
        with self._changed:
            looked_at = len(self._visits)
            while count > 0:
                last = [str(visit) for visit in self._visits[-3:]]
                left = ends - time.monotonic()
                assert left > 0, f"not in {seconds} s; the last visits: {last}"
                self._changed.wait(left)
                count -= sum(map(wanted, self._visits[looked_at:]))
                looked_at = len(self._visits)

    def _read(self) -> None:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                visit = msgspec.json.decode(line, type=Visit)
                with self._changed:
                    self._visits.append(visit)
                    self._changed.notify_all()
