"""Removing and publishing at the same time: docs/decisions/0011-removing-beside-releases.md."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

from da_agent import ports
from da_agent.domain.node import garbage
from da_agent.domain.store import keys
from da_agent.domain.store.leases import Lease
from da_agent.errors import AgentError, Busy, NotFound, TimedOut
from da_agent.workflows.records.leases import Leases
from da_agent.workflows.records.readers import Reader

TERM = timedelta(minutes=3)
"""How long a process that died while it held the gc lock keeps the others out."""

MARGIN = timedelta(seconds=90)
"""The time before the end of the lock in which no request begins: each must be answered, or abandoned, before the end.
"""

PATIENCE = timedelta(minutes=10)
"""How long a process waits for the gc lock at most. The error then names the holder."""

_PAUSE = timedelta(seconds=0.5)
_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Mark:
    """The state of the gc lock `at` a moment of the monotonic clock. The tag changes with each holder."""

    tag: str | None
    at: timedelta


class GcLock:
    """One process at a time removes, or releases old blobs that may be about to be removed. Many upload new blobs."""

    def __init__(self, store: ports.Store, reader: Reader, clock: ports.Clock) -> None:
        self._store = store
        self._reader = reader
        self._clock = clock

    def bring(self, upload: Callable[[], object]) -> Mark:
        """Run `upload` so that a release appended right afterwards has all its blobs.

        The upload is repeated when blobs may have been removed meanwhile, or when it took so long that young blobs may
        be old by now. `holds` tells later whether the upload still counts. TimedOut after too many repetitions; Busy
        when another process keeps the gc lock.
        """
        for _ in range(_ATTEMPTS):
            mark = self._mark()
            upload()
            if self.holds(mark):
                return mark
        raise TimedOut(f"cannot publish: gc keeps removing blobs from {self._store.name}; try again later")

    def holds(self, mark: Mark) -> bool:
        """True when no process has held the gc lock since `mark`, and no blob has grown old."""
        return self._look()[0] == mark.tag and self._clock.elapsed() - mark.at < garbage.TRUSTED

    @contextmanager
    def alone(self, holder: str, nonce: str) -> Iterator["Held"]:
        """Hold the gc lock while the value's `require` does not raise. Busy when another process keeps the lock."""
        held = Held(self._store, self._reader, self._clock, holder, nonce)
        give_up_at = self._clock.elapsed() + PATIENCE
        while not held.enter():
            self._wait(give_up_at)
        try:
            yield held
        finally:
            held.leave()

    def _mark(self) -> Mark:
        """The state of the gc lock once no process holds it. Busy after PATIENCE."""
        give_up_at = self._clock.elapsed() + PATIENCE
        while True:
            at = self._clock.elapsed()
            tag, lease = self._look()
            if lease is None or lease.until <= self._store.clock():
                return Mark(tag, at)
            self._wait(give_up_at)

    def _wait(self, give_up_at: timedelta) -> None:
        if self._clock.elapsed() > give_up_at:
            _, lease = self._look()
            who = "another process" if lease is None else lease.holder
            raise Busy(f"cannot start: {who} still holds the gc lock on {self._store.name}; try again later")
        self._clock.wait(_PAUSE)

    def _look(self) -> tuple[str | None, Lease | None]:
        try:
            found = self._reader.lease(keys.GC_LOCK)
        except NotFound:
            return None, None
        return found.tag, found.value


class Held:
    """The gc lock as held by one process. For the holder it ends before any other process may take it."""

    def __init__(self, store: ports.Store, reader: Reader, clock: ports.Clock, holder: str, nonce: str) -> None:
        self._store = store
        self._clock = clock
        self._lease = Leases(store, reader, holder=f"{holder} ({nonce[:6]})", nonce=nonce, key=keys.GC_LOCK)
        self._since = timedelta()
        self._until = store.clock()

    def enter(self) -> bool:
        """Claim or renew the lock; True when this process has it now."""
        # Both are read before the claim: the store may count the term from a later moment, never from an earlier one.
        since, until = self._clock.elapsed(), self._store.clock() + TERM
        if not self._lease.claim(TERM):
            return False
        self._since, self._until = since, until
        return True

    def require(self) -> None:
        """Call directly before each effect. Busy when this process, or the store, stalled so long that another process
        may hold the lock now.
        """
        self.renew()
        if self._store.clock() >= self._until - MARGIN:
            raise self._late()

    def renew(self) -> None:
        """Call now and then during long work: renews the lock when half its time has passed. Busy when the lock has
        ended.

        Costs nothing while there is nothing to renew.
        """
        passed = self._clock.elapsed() - self._since
        if passed >= TERM - MARGIN or (passed > (TERM - MARGIN) / 2 and not self.enter()):
            raise self._late()

    def _late(self) -> Busy:
        return Busy(
            f"cannot continue: the gc lock on {self._store.name} expired, and another process may hold it now;"
            " try again"
        )

    def leave(self) -> None:
        """End the lock. A store that does not answer is no error here: the lock ends by itself after TERM."""
        with suppress(AgentError):
            self._lease.release()
