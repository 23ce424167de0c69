"""In-memory implementations of the ports, which pass the same contract tests as the real ones."""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from da_agent.domain.node import garbage
from da_agent.domain.node.node_states import NodeState
from da_agent.domain.node.notifications import Key
from da_agent.domain.store import bodies, keys
from da_agent.domain.store.blobs import Blob, blob_of
from da_agent.domain.store.inboxes import Entry
from da_agent.errors import AgentError, Busy, Conflict, Corrupt, NotFound, Stopped, StoreDamaged
from da_agent.ports import Always, Condition, IfAbsent, IfTag, Sink, Store, Stored

T = TypeVar("T")

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
YEAR_ONE = datetime(1, 1, 1, tzinfo=UTC)
CHUNK = 1024 * 1024


class MemoryStore:
    """A store whose clock stands still unless it is set, and which fails when it is told to.

    failing   raised by every method while it is set
    before_write   called with the key before each write: raise in it, or be somebody else who is faster
    after_write    called with the key after each write: raise OutcomeUnknown in it for an answer that got lost
    """

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now
        self.failing: AgentError | None = None
        self.before_write: Callable[[str], object] = lambda key: None
        self.after_write: Callable[[str], object] = lambda key: None
        self._objects: dict[str, Stored] = {}
        self._writes = 0
        self._lock = threading.RLock()

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state, _lock=threading.RLock())

    hindered: str | None = None

    def obstacle(self) -> str | None:
        return self.hindered

    @property
    def name(self) -> str:
        return "memory://store"

    @property
    def identity(self) -> str:
        return f"memory {id(self)}"

    def clock(self) -> datetime:
        self._answer()
        return self.now

    def read(self, key: str) -> Stored:
        self._answer()
        with self._lock:
            if key not in self._objects:
                raise NotFound(f"there is no {key} in {self.name}")
            stored = self._objects[key]
        bodies.joined([stored.data], key, self.name)
        return stored

    def fetch(self, key: str, sink: Sink, start: int = 0) -> None:
        self._answer()
        with self._lock:
            if key not in self._objects:
                raise NotFound(f"there is no {key} in {self.name}")
            data = self._objects[key].data
        for place in range(start, len(data), CHUNK):
            sink(data[place : place + CHUNK])

    def write(self, key: str, body: bytes | Path, when: Condition) -> str:
        self._answer()
        self.before_write(key)
        data = body if isinstance(body, bytes) else body.read_bytes()
        with self._lock:
            self._judge(key, when)
            self._writes += 1
            stored = Stored(data, f"tag-{self._writes}", self.now)
            self._objects[key] = stored
        self.after_write(key)
        return stored.tag

    def scan(self, prefix: str, after: str = "") -> Iterator[Entry]:
        self._answer()
        with self._lock:
            objects = sorted(self._objects.items())
        for key, stored in objects:
            if key.startswith(prefix) and key > after:
                yield Entry(key, len(stored.data), stored.tag, stored.modified_at)

    def survey(self, prefixes: Sequence[str]) -> Iterator[Entry]:
        for prefix in prefixes:
            yield from self.scan(prefix)

    def delete(self, key: str) -> None:
        self._answer()
        with self._lock:
            self._objects.pop(key, None)

    def _answer(self) -> None:
        if self.failing:
            raise self.failing

    def _judge(self, key: str, when: Condition) -> None:
        stored = self._objects.get(key)
        if isinstance(when, IfAbsent) and stored:
            raise Conflict(f"{key} is already in {self.name}")
        if isinstance(when, IfTag):
            if not stored:
                raise NotFound(f"there is no {key} in {self.name}")
            if stored.tag != when.tag:
                raise Conflict(f"{key} in {self.name} was changed by another process")


class MemoryBlobs:
    """Blobs in memory: `bodies`, and what has come of others: `parts`."""

    def __init__(self) -> None:
        self.bodies: dict[Blob, bytes] = {}
        self.parts: dict[Blob, bytearray] = {}

    def has(self, blob: Blob) -> bool:
        return blob in self.bodies

    def path(self, blob: Blob) -> Path:
        return Path("/memory/blobs") / blob.sha256

    def receive(self, blob: Blob, fill: Callable[[Sink, int], object]) -> None:
        resumed = blob in self.parts
        body = self.parts.setdefault(blob, bytearray())
        fill(body.extend, len(body))
        del self.parts[blob]
        if blob_of(bytes(body)) == blob:
            self.bodies[blob] = bytes(body)
        elif resumed:
            self.receive(blob, fill)
        else:
            raise Corrupt(f"what was received is not blob {blob.sha256}")

    def needless(self, keep: frozenset[Blob], before: datetime) -> tuple[str, ...]:
        """All are old here."""
        return tuple(sorted(blob.sha256 for blob in self.bodies if blob not in keep))

    def remove(self, sha256: str) -> None:
        self.bodies = {blob: body for blob, body in self.bodies.items() if blob.sha256 != sha256}


class MemoryTransfers:
    """One after the other, between any store and any blobs."""

    def __init__(self, store: Store, blobs: MemoryBlobs) -> None:
        self._store = store
        self._blobs = blobs

    def fetch(self, blobs: Iterable[Blob]) -> None:
        for blob in blobs:
            if not self._blobs.has(blob):
                self._fetch(blob)

    def _fetch(self, blob: Blob) -> None:
        key = keys.blob_key(blob)
        try:
            self._blobs.receive(blob, lambda sink, start: self._store.fetch(key, sink, start))
        except (NotFound, Corrupt) as error:
            raise StoreDamaged(f"cannot fetch {key}: {error}") from error

    def upload(self, bodies: Mapping[Blob, bytes | Path]) -> None:
        since = self._store.clock() - garbage.FRESH
        for blob, body in bodies.items():
            key = keys.blob_key(blob)
            there = next((entry for entry in self._store.scan(key) if entry.key == key), None)
            if there is None or there.size != blob.size or there.modified_at < since:
                self._store.write(key, body, Always())

    def mend(self, blobs: Collection[Blob], find: Callable[[Blob], bytes | None] = lambda _: None) -> frozenset[Blob]:
        lost = set()
        for blob in blobs:
            key = keys.blob_key(blob)
            try:
                right = blob_of(self._store.read(key).data) == blob
            except NotFound:
                right = False
            body = self._blobs.bodies.get(blob) or find(blob)
            if body is not None and not right:
                self._store.write(key, body, Always())
            elif not right:
                lost.add(blob)
        return frozenset(lost)


class MemoryJournals:
    """A node state that remembers what was saved, in order: `saved`."""

    def __init__(self, node_state: NodeState | None = None) -> None:
        self.saved: list[NodeState] = [node_state] if node_state else []

    def load(self) -> NodeState | None:
        return self.saved[-1] if self.saved else None

    def save(self, node_state: NodeState) -> None:
        self.saved.append(node_state)


class FakeClock:
    """Time that passes only while somebody waits.

    skew      by so much somebody has set the clock
    on_wait   called with the number of the wait, from 1, before time passes: the place to change the world
    """

    def __init__(self, now: datetime = NOON) -> None:
        self.time = now
        self.skew = timedelta()
        self.on_wait: Callable[[int], object] = lambda number: None
        self.waits: list[timedelta] = []
        self._woken = False
        self._stopped = False

    def now(self) -> datetime:
        return self.time + self.skew

    def elapsed(self) -> timedelta:
        return self.time - YEAR_ONE

    def wake(self) -> None:
        """The next wait returns at once, True, and no time passes."""
        self._woken = True

    def stop(self) -> None:
        """Every wait from now on raises Stopped."""
        self._stopped = True

    def wait(self, period: timedelta) -> bool:
        self.waits.append(period)
        self.on_wait(len(self.waits))
        if self._stopped:
            raise Stopped("this process was told to end")
        if self._woken:
            self._woken = False
            return True
        self.time += period
        return False


@dataclass
class SilentProgress:
    """Shows nothing; remembers what was said."""

    said: list[str] = field(default_factory=list)
    done: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def work(self, title: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        self.done.setdefault(title, 0)

        def advance(part: int) -> None:
            self.done[title] += part

        yield advance

    @contextmanager
    def step(self, title: str) -> Iterator[Callable[[str], None]]:
        self.said.append(title)
        yield self.said.append

    def say(self, sentence: str) -> None:
        self.said.append(sentence)


class NoDeadline:
    """Waits for every answer."""

    def __call__(self, question: Callable[[], T]) -> T:
        return question()


class FakeNotifier:
    """Reaches everybody but those in `deaf`; remembers in `notified` whom it was told to notify, and with what."""

    def __init__(self) -> None:
        self.deaf: set[str] = set()
        self.poked: list[tuple[Mapping[str, tuple[str, int]], Key]] = []

    def notify(self, destinations: Mapping[str, tuple[str, int]], key: Key) -> frozenset[str]:
        self.poked.append((destinations, key))
        return frozenset(destinations) & self.deaf


class FakeLock:
    """Free, until `holder` is set or somebody holds it."""

    def __init__(self) -> None:
        self.holder: str | None = None

    @contextmanager
    def hold(self, patience: timedelta) -> Iterator[None]:
        if self.holder:
            raise Busy(f"cannot start: {self.holder} holds the lock of this node")
        self.holder = "this test"
        try:
            yield
        finally:
            self.holder = None
