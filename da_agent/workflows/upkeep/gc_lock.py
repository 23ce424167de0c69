"""Removing and releasing beside each other: docs/decisions/0011-removing-beside-releases.md."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from da_agent import ports
from da_agent.domain.node import garbage
from da_agent.domain.store import keys
from da_agent.domain.store.leases import Lease
from da_agent.errors import Busy, NotFound, TimedOut
from da_agent.workflows.records.leases import Leases
from da_agent.workflows.records.readers import Reader

TERM = timedelta(minutes=3)
"""How long whoever died behind the gc lock keeps the others out."""

MARGIN = timedelta(seconds=90)
"""So long before the end nothing is begun any more: by then a request has been answered, or is given up."""

PATIENCE = timedelta(minutes=10)
"""How long somebody waits for the gc lock at most, and is told who has it then."""

_PAUSE = timedelta(seconds=0.5)
_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Mark:
    """How the gc lock was, `at` by the clock that nobody can set. It changes with everybody who passes."""

    tag: str | None
    at: timedelta


class GcLock:
    """One at a time removes, or makes a release of what may be about to be removed; many bring what is new."""

    def __init__(self, store: ports.Store, reader: Reader, clock: ports.Clock) -> None:
        self._store = store
        self._reader = reader
        self._clock = clock

    def bring(self, upload: Callable[[], object]) -> Mark:
        """Make `upload` so that the release that is appended right afterwards has what it brings.

        It is repeated when somebody may have removed something meanwhile, or when it took so long that what was young
        before is old by now. `holds` tells later whether that is still so.
        """
        for _ in range(_ATTEMPTS):
            mark = self._mark()
            upload()
            if self.holds(mark):
                return mark
        raise TimedOut(f"cannot publish: gc keeps removing blobs from {self._store.name}")

    def holds(self, mark: Mark) -> bool:
        """Whether nobody has removed anything since, and nothing has grown old."""
        return self._look()[0] == mark.tag and self._clock.elapsed() - mark.at < garbage.TRUSTED

    @contextmanager
    def alone(self, holder: str, nonce: str) -> Iterator["Held"]:
        """No other process holds the gc lock, as long as the value says so. Busy when another one keeps it."""
        held = Held(self._store, self._reader, self._clock, holder, nonce)
        give_up_at = self._clock.elapsed() + PATIENCE
        while not held.enter():
            self._wait(give_up_at)
        try:
            yield held
        finally:
            held.leave()

    def _mark(self) -> Mark:
        """The gate once nobody is behind it."""
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
    """The right to remove, or to release what is old, for as long as nobody can believe that it has ended."""

    def __init__(self, store: ports.Store, reader: Reader, clock: ports.Clock, holder: str, nonce: str) -> None:
        self._store = store
        self._clock = clock
        self._lease = Leases(store, reader, holder=f"{holder} ({nonce[:6]})", nonce=nonce, key=keys.GC_LOCK)
        self._since = timedelta()
        self._until = store.clock()

    def enter(self) -> bool:
        """Whether it is ours now, or for longer."""
        # Both are asked before: what the store counts from may be later, never earlier.
        since, until = self._clock.elapsed(), self._store.clock() + TERM
        if not self._lease.claim(TERM):
            return False
        self._since, self._until = since, until
        return True

    def require(self) -> None:
        """Right before each effect. Busy when this process, or the store, stood still for so long that others may be
        at work now."""
        self.renew()
        if self._store.clock() >= self._until - MARGIN:
            raise self._late()

    def renew(self) -> None:
        """Now and then while nothing happens: the right lasts longer, where it has not ended. Costs next to nothing."""
        passed = self._clock.elapsed() - self._since
        if passed >= TERM - MARGIN or (passed > (TERM - MARGIN) / 2 and not self.enter()):
            raise self._late()

    def _late(self) -> Busy:
        return Busy(f"cannot go on: this took too long, and others may be at work in {self._store.name} now; try again")

    def leave(self) -> None:
        self._lease.release()
