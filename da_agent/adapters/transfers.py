"""Parallel transfers of blobs between the store and the node."""

import hashlib
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from da_agent.domain.node import garbage
from da_agent.domain.store import keys
from da_agent.domain.store.blobs import PUT_BACK, Blob
from da_agent.errors import Conflict, Corrupt, NotFound, OutcomeUnknown, StoreDamaged, Unreachable
from da_agent.ports import Always, Blobs, IfAbsent, Progress, Sink, Store

T = TypeVar("T")

_TRIES = 3


class ParallelTransfers:
    """Runs up to `workers` transfers at a time. The first failure ends all of them and is raised."""

    def __init__(self, store: Store, blobs: Blobs, progress: Progress, workers: int = 8, *, pause: float = 0.2) -> None:
        """`pause` is the time in seconds before the second try of a transfer; it is twice as long before the third."""
        self._store = store
        self._blobs = blobs
        self._progress = progress
        self._workers = workers
        self._pause = pause

    def fetch(self, blobs: Iterable[Blob]) -> None:
        missing = [blob for blob in dict.fromkeys(blobs) if not self._blobs.has(blob)]
        self._run("downloading", missing, self._fetch)

    def upload(self, bodies: Mapping[Blob, bytes | Path]) -> None:
        if bodies:
            since = self._store.clock() - garbage.FRESH
            self._run(
                "uploading",
                bodies,
                lambda blob, run: self._upload(blob, bodies[blob], since, run),
            )

    def mend(self, blobs: Collection[Blob], find: Callable[[Blob], bytes | None] = lambda _: None) -> frozenset[Blob]:
        lost: set[Blob] = set()

        def mend(blob: Blob, run: "_Run") -> None:
            if run.persist(lambda: self._is_right(blob, run)):
                return
            body = self._blobs.path(blob) if self._blobs.has(blob) else find(blob)
            if body is None:
                lost.add(blob)
                return
            run.persist(lambda: self._store.write(keys.blob_key(blob), body, Always()))
            self._progress.say(f"Restored {keys.blob_key(blob)} in the store")

        self._run("checking", dict.fromkeys(blobs), mend)
        return frozenset(lost)

    def _run(self, title: str, blobs: Iterable[Blob], act: Callable[[Blob, "_Run"], None]) -> None:
        # The biggest first: a big blob that starts last would leave the other workers idle.
        todo = sorted(blobs, key=lambda blob: blob.size, reverse=True)
        if not todo:
            return
        with self._progress.work(title, sum(blob.size for blob in todo), "bytes") as advance:
            run = _Run(advance, self._pause)
            pool = ThreadPoolExecutor(self._workers, thread_name_prefix=title)
            try:
                wait([pool.submit(run.follow, act, blob) for blob in todo])
            finally:
                # Also after Ctrl-C: no transfer may go on after this method.
                run.end()
                pool.shutdown(cancel_futures=True)
        if run.failure:
            raise run.failure

    def _fetch(self, blob: Blob, run: "_Run") -> None:
        key = keys.blob_key(blob)
        measure = run.measure()

        def fill(sink: Sink, start: int) -> None:
            measure.restart(start)

            def take(chunk: bytes) -> None:
                run.check()
                sink(chunk)
                measure.add(len(chunk))

            self._store.fetch(key, take, start)

        try:
            run.persist(lambda: self._blobs.receive(blob, fill))
        except NotFound as error:
            raise StoreDamaged(
                f"cannot fetch {key}: there is no such blob in {self._store.name}; {PUT_BACK}"
            ) from error
        except Corrupt as error:
            raise StoreDamaged(f"cannot use {key} in {self._store.name}: {error}; {PUT_BACK}") from error
        except Conflict as error:
            raise Unreachable(f"cannot fetch {key}: {error}") from error

    def _upload(self, blob: Blob, body: bytes | Path, since: datetime, run: "_Run") -> None:
        if not run.persist(lambda: self._is_whole(blob, since)):
            run.persist(lambda: self._send(blob, body, since))
        run.measure().add(blob.size)

    def _send(self, blob: Blob, body: bytes | Path, since: datetime) -> None:
        key = keys.blob_key(blob)
        try:
            self._store.write(key, body, IfAbsent())
        except (Conflict, OutcomeUnknown):
            # A blob that is damaged, old, or perhaps not written is written again. That is safe: another writer of
            # the same blob writes the same bytes.
            if not self._is_whole(blob, since):
                self._store.write(key, body, Always())

    def _is_right(self, blob: Blob, run: "_Run") -> bool:
        digest, measure = hashlib.sha256(), run.measure()

        def take(chunk: bytes) -> None:
            run.check()
            digest.update(chunk)
            measure.add(len(chunk))

        try:
            self._store.fetch(keys.blob_key(blob), take)
        except NotFound:
            return False
        return digest.hexdigest() == blob.sha256

    def _is_whole(self, blob: Blob, since: datetime) -> bool:
        """Whether the store has the blob, written at or after `since`: `gc` may be about to delete an older one.

        The size suffices, because writing is atomic.
        """
        key = keys.blob_key(blob)
        found = (entry for entry in self._store.scan(key) if entry.key == key)
        return any(entry.size == blob.size and entry.modified_at >= since for entry in found)


class _Cut(Exception):
    """This transfer stops because another one failed."""


class _Run:
    """The state that the transfers of one run share: the progress, and whether to go on."""

    def __init__(self, advance: Callable[[int], None], pause: float) -> None:
        self._pause = pause
        self.failure: BaseException | None = None
        self._advance = advance
        self._ended = threading.Event()
        self._lock = threading.Lock()

    def follow(self, act: Callable[[Blob, "_Run"], None], blob: Blob) -> None:
        try:
            self.check()
            act(blob, self)
        except _Cut:
            return
        except BaseException as error:
            with self._lock:
                self.failure = self.failure or error
            self._ended.set()

    def check(self) -> None:
        if self._ended.is_set():
            raise _Cut

    def end(self) -> None:
        self._ended.set()

    def persist(self, act: Callable[[], T]) -> T:
        """The result of `act`, tried 3 times with pauses while the store is unreachable or sends wrong bytes."""
        pause = self._pause
        for _ in range(_TRIES - 1):
            try:
                return act()
            except (Unreachable, Corrupt, Conflict):
                self._ended.wait(pause)
                self.check()
                pause *= 2
        return act()

    def measure(self) -> "_Measure":
        return _Measure(self._report)

    def _report(self, part: int) -> None:
        with self._lock:
            self._advance(part)


class _Measure:
    """How many bytes of one blob are done. Bytes that a second try repeats are not counted twice."""

    def __init__(self, report: Callable[[int], None]) -> None:
        self._report = report
        self._done = 0
        self._most = 0

    def restart(self, start: int) -> None:
        """The next bytes are those from `start` on; the node already has those before."""
        self._done = 0
        self.add(start)

    def add(self, size: int) -> None:
        self._done += size
        if self._done > self._most:
            self._report(self._done - self._most)
            self._most = self._done
