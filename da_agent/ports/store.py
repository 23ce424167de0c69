"""What is asked of the store, and of the node's own copies of blobs."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeVar

from da_agent.domain.node.used_stores import Used
from da_agent.domain.store.blobs import Blob
from da_agent.domain.store.conformance import Conformance
from da_agent.domain.store.inboxes import Entry
from da_agent.errors import AgentError

T = TypeVar("T")


Sink = Callable[[bytes], object]
"""Takes the next bytes of a stream."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as it was read: bytes, tag and modification time belong together."""

    data: bytes
    tag: str
    modified_at: datetime


class Always:
    """Write whatever is there."""


class IfAbsent:
    """Write only where nothing is yet: one winner, however many try."""


@dataclass(frozen=True, slots=True)
class IfTag:
    """Write only over the object that carried this tag."""

    tag: str


Condition = Always | IfAbsent | IfTag


class Store(Protocol):
    """The bucket or directory that all nodes share. Keys are relative to its prefix.

    Every method raises Unreachable (no answer, a time-out, 5xx), Forbidden (403, bad credentials) or StoreUnfit
    (the store says that it does not know the operation). Absent is only ever the store's own clear answer:
    a directory store whose root is missing, not mounted or not a directory is Unreachable, not empty.
    """

    @property
    def name(self) -> str:
        """How people call it: its URL without credentials."""

    @property
    def identity(self) -> str:
        """Endpoint and bucket, or file system and path: what a conformance record is valid for."""

    def clock(self) -> datetime:
        """The store's own time (UTC), which alone is compared with modification times."""

    def read(self, key: str) -> Stored:
        """The whole small object; Absent when there is none, Corrupt when it is larger than `limits.RECORD`."""

    def fetch(self, key: str, sink: Sink, start: int = 0) -> None:
        """Stream the object from byte `start` on into `sink` in bounded chunks; Absent when there is none.

        Nothing comes when it ends before `start`. What is cut goes on inside, with the same object, as long as enough
        of it comes; Lost when it was replaced meanwhile. After an error `sink` has had the first part of what it was
        to get. Whether the bytes before `start` were those of the same object only a checked hash can say.
        """

    def write(self, key: str, body: bytes | Path, when: Condition) -> str:
        """Write atomically and durably under `when`; returns the new tag.

        Lost: the condition did not hold and nothing was written. Absent: IfTag, and the object is gone.
        OutcomeUnknown: conditional, and nobody knows whether it happened (never retried inside).
        Unconditional writes are retried inside.
        """

    def scan(self, prefix: str, after: str = "") -> Iterator[Entry]:
        """Every object whose key begins with `prefix` and sorts behind `after`, in order of keys (by code point)."""

    def survey(self, prefixes: Sequence[str]) -> Iterator[Entry]:
        """Every object whose key begins with one of `prefixes`, which do not contain each other: with as few requests
        as the store can do it with, in any order."""

    def delete(self, key: str) -> None:
        """Afterwards there is no such object; there need not have been one."""


class Race(Protocol):
    """Lets several do something to the store at the same instant."""

    def __call__(self, jobs: Sequence[Callable[[], T]]) -> list[T | AgentError]:
        """Begin all jobs at once and wait for all: what each returned or raised, in the order of `jobs`."""


class Deadline(Protocol):
    """Asks those who may be long in answering, when something else waits for the answer."""

    def __call__(self, question: Callable[[], T]) -> T:
        """What `question` returns or raises; Unreachable when it takes longer than a few seconds. It may go on then, so
        it must change nothing on this node."""


class Conformances(Protocol):
    """What was found out about stores, kept by their identity."""

    def load(self, identity: str) -> Conformance | None:
        """None when the store was not examined yet, or when its conformance record is damaged or of an older kind."""

    def save(self, conformance: Conformance) -> None:
        """Replace what was known about the same store, atomically."""


class Blobs(Protocol):
    """The node's own copies of blobs. What is in here has the right bytes: it was hashed while it was written,
    and is looked at again after whatever could have spoilt it."""

    def has(self, blob: Blob) -> bool: ...

    def path(self, blob: Blob) -> Path:
        """Where it lies (read-only); valid when `has`."""

    def receive(self, blob: Blob, fill: Callable[[Sink, int], object]) -> None:
        """Take the bytes that `fill` hands to the sink, from the place that it is given on. Commit point: one rename,
        when the hash is right.

        What came before an error of `fill` is kept, and the next one, also of another process, is asked for the rest.
        When that turns out wrong, everything is thrown away and asked for once more.
        Raises Corrupt when the bytes are not the blob's, NodeBroken when the disk is full, and whatever `fill` raises.
        """

    def needless(self, keep: frozenset[Blob], before: datetime) -> tuple[str, ...]:
        """The hashes of every other blob that was received before that moment."""

    def remove(self, sha256: str) -> None:
        """Afterwards there is no such blob; there need not have been one."""


class UsedStores(Protocol):
    """Which stores this machine has used, kept by their URL."""

    def load(self, url: str) -> Used | None:
        """None when the store was not used yet, or when what was kept is damaged."""

    def save(self, used: Used) -> None:
        """Replace what was known about the same URL, atomically."""

    def place(self, url: str) -> str:
        """The file that keeps it, for a person who removes it."""


class Transfers(Protocol):
    """Many blobs at once between store and node, in parallel."""

    def fetch(self, blobs: Iterable[Blob]) -> None:
        """Afterwards the node has them all; those it already had are not asked for.

        StoreDamaged, naming the object, when the store has no such blob or other bytes under its name.
        """

    def upload(self, bodies: Mapping[Blob, bytes | Path]) -> None:
        """Afterwards the store has them all, whole. What it already has is not sent again."""

    def mend(self, blobs: Collection[Blob], find: Callable[[Blob], bytes | None] = lambda _: None) -> frozenset[Blob]:
        """Read all of them in the store, and write again those that are missing or have other bytes: from the node's
        own, or from what `find` gives, which must be the right bytes. Those that nobody here has are returned."""


class Snapshot(Protocol):
    """The objects of one inbox as they were when it was listed, or as they are about to be written."""

    def read(self, key: str) -> bytes:
        """A small object. Lost when it is no longer the one that was listed."""

    def fetch(self, keys: Iterable[str]) -> Mapping[str, tuple[Blob, Path]]:
        """Any objects, copied to files that keep their base names, in parallel. Lost as in `read`."""


class Snapshots(Protocol):
    """Takes copies of the inbox."""

    def take(self, entries: Iterable[Entry], overlay: Mapping[str, bytes | Path]) -> AbstractContextManager[Snapshot]:
        """The copy of `entries`, with `overlay` instead of what the store has under those keys; gone afterwards."""
