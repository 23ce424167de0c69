"""Interfaces to the store, and to the node's own copies of blobs."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
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
    """An object as one read returned it: its bytes, tag and modification time belong together."""

    data: bytes
    tag: str
    modified_at: datetime


class Always:
    """Write unconditionally, over whatever is there."""


class IfAbsent:
    """Write only when the object does not exist. Of several concurrent writers exactly one wins."""


@dataclass(frozen=True, slots=True)
class IfTag:
    """Write only over the object that has this tag."""

    tag: str


Condition = Always | IfAbsent | IfTag


class Store(Protocol):
    """The bucket or directory that all nodes share. Keys are relative to its prefix.

    Every method raises Unreachable (no answer, a time-out, 5xx), Forbidden (403, bad credentials) or StoreUnfit
    (the store answers that it does not know the operation). NotFound is always a clear answer of the store itself.
    A directory store whose root is missing, not mounted or not a directory is Unreachable, not empty.
    """

    @property
    def name(self) -> str:
        """The name in messages: the URL without credentials."""

    @property
    def identity(self) -> str:
        """Endpoint and bucket, or file system and path. A conformance record is valid for one identity."""

    def obstacle(self) -> str | None:
        """Why machines cannot share this store, as far as this machine knows without a request, with the remedy; None
        when it knows of nothing."""

    def clock(self) -> datetime:
        """The store's own time (UTC). Modification times are compared with no other clock."""

    def read(self, key: str) -> Stored:
        """A whole small object; NotFound when it does not exist, Corrupt when it is larger than `limits.RECORD`."""

    def fetch(self, key: str, sink: Sink, start: int = 0) -> None:
        """Stream the object from byte `start` into `sink` in bounded chunks; NotFound when it does not exist.

        `sink` gets nothing when the object ends before `start`. A broken connection is resumed inside, on the same
        object, as long as enough bytes arrive. Conflict when the object was replaced meanwhile.
        After an error, `sink` has received the first part of the bytes.
        Only a checked hash proves that the bytes before `start` came from the same object.
        """

    def write(self, key: str, body: bytes | Path, when: Condition) -> str:
        """Write atomically and durably when the condition `when` holds; returns the new tag.

        Conflict when the condition does not hold; nothing was written. NotFound for IfTag when the object is gone.
        OutcomeUnknown when a conditional write may or may not have happened. Such a write is never retried inside.
        Unconditional writes are retried inside.
        """

    def scan(self, prefix: str, after: str = "") -> Iterator[Entry]:
        """Every object whose key begins with `prefix` and sorts after `after`, sorted by key (by code point)."""

    def survey(self, prefixes: Sequence[str]) -> Iterator[Entry]:
        """Every object whose key begins with one of `prefixes`, in any order, with the fewest requests possible.

        No prefix may contain another one.
        """

    def delete(self, key: str) -> None:
        """Delete the object; does nothing when it does not exist."""


class Race(Protocol):
    """Runs several operations on the store at the same instant."""

    def __call__(self, jobs: Sequence[Callable[[], T]]) -> list[T | AgentError]:
        """Start all jobs at once and wait for all. Returns what each returned or raised, in the order of `jobs`."""


class Deadline(Protocol):
    """Limits the time of a call that may be slow while other work waits for its answer."""

    def __call__(self, question: Callable[[], T]) -> T:
        """What `question` returns or raises; Unreachable when it takes longer than a few seconds.

        A late `question` may keep running, so it must change nothing on this node.
        """


class Repeat(Protocol):
    """Does short work again and again while other work takes its time."""

    def __call__(self, work: Callable[[], None], period: timedelta, /) -> AbstractContextManager[None]:
        """Call `work` every `period`, from a thread of its own, until the context ends. `work` must not raise."""


class Conformances(Protocol):
    """The conformance records of stores, kept by store identity."""

    def load(self, identity: str) -> Conformance | None:
        """The record of a store; None when there is none, or when it is damaged or of an older format."""

    def save(self, conformance: Conformance) -> None:
        """Replace the record of the same store atomically."""


class Blobs(Protocol):
    """The node's own copies of blobs, all with the right bytes.

    Each copy is hashed while it is written, and checked again after any event that could have damaged it.
    """

    def has(self, blob: Blob) -> bool: ...

    def path(self, blob: Blob) -> Path:
        """The path of the read-only copy; valid only when `has` is true."""

    def receive(self, blob: Blob, fill: Callable[[Sink, int], object]) -> None:
        """Receive the blob: `fill` writes its bytes to the given sink, beginning at the given offset.

        The commit point is one rename, once the hash is right.
        After an error of `fill` the received part is kept; the next call, also from another process, gets the rest.
        When the hash of a resumed blob is wrong, all its bytes are discarded and requested once more.
        Corrupt when the bytes are not those of the blob, NodeBroken when the disk is full, and any error of `fill`.
        """

    def needless(self, keep: frozenset[Blob], before: datetime) -> tuple[str, ...]:
        """The hashes of all blobs that are not in `keep` and were received before `before`."""

    def remove(self, sha256: str) -> None:
        """Remove the blob; does nothing when it does not exist."""


class UsedStores(Protocol):
    """The stores that this machine has used, kept by URL."""

    def load(self, url: str) -> Used | None:
        """The record of a store; None when the store was never used, or its record is damaged."""

    def save(self, used: Used) -> None:
        """Replace the record of the same URL atomically."""

    def place(self, url: str) -> str:
        """The path of the record, for an admin who removes it."""


class Transfers(Protocol):
    """Transfers many blobs between store and node in parallel."""

    def fetch(self, blobs: Iterable[Blob]) -> None:
        """Fetch all blobs that the node does not have yet.

        StoreDamaged, naming the object, when the store lacks a blob or has wrong bytes under its name.
        """

    def upload(self, bodies: Mapping[Blob, bytes | Path]) -> None:
        """Upload all blobs that the store does not have yet. On return the store has every one, complete."""

    def mend(self, blobs: Collection[Blob], find: Callable[[Blob], bytes | None] = lambda _: None) -> frozenset[Blob]:
        """Read all blobs in the store, and rewrite those that are missing or have wrong bytes.

        The bytes come from the node's own copies or from `find`, which must return the right bytes.
        Returns the blobs for which neither has the bytes.
        """


class Snapshot(Protocol):
    """The objects of one inbox as they were when it was listed, or as they are about to be written (the overlay)."""

    def read(self, key: str) -> bytes:
        """The bytes of a small object. Conflict when the object has changed since the listing."""

    def fetch(self, keys: Iterable[str]) -> Mapping[str, tuple[Blob, Path]]:
        """Copy objects of any size to files, in parallel. The files keep their base names. Conflict as in `read`."""


class Snapshots(Protocol):
    """Takes snapshots of the inbox."""

    def take(self, entries: Iterable[Entry], overlay: Mapping[str, bytes | Path]) -> AbstractContextManager[Snapshot]:
        """A snapshot of `entries`, deleted when the context ends. Objects of `overlay` replace those of the store."""
