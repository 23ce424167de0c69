"""Many blobs at once between the store and the node."""

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
_PAUSE = 0.2
"""Seconds before the second try; doubled before the third."""


class ParallelTransfers:
    """Runs up to `workers` transfers side by side; the first failure ends them all, and is the one that is raised."""

    def __init__(self, store: Store, blobs: Blobs, progress: Progress, workers: int = 8) -> None:
        self._store = store
        self._blobs = blobs
        self._progress = progress
        self._workers = workers

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
            self._progress.say(f"Put {keys.blob_key(blob)} back")

        self._run("checking", dict.fromkeys(blobs), mend)
        return frozenset(lost)

    def _run(self, title: str, blobs: Iterable[Blob], act: Callable[[Blob, "_Run"], None]) -> None:
        # The biggest first: one that is begun last would keep everybody waiting, with the other workers idle.
        todo = sorted(blobs, key=lambda blob: blob.size, reverse=True)
        if not todo:
            return
        with self._progress.work(title, sum(blob.size for blob in todo), "bytes") as advance:
            run = _Run(advance)
            pool = ThreadPoolExecutor(self._workers, thread_name_prefix=title)
            try:
                wait([pool.submit(run.follow, act, blob) for blob in todo])
            finally:
                # Also when somebody interrupts the waiting: nothing goes on behind our back.
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
            # One that somebody damaged, that may never have come, or that is old, is written again; whoever writes a
            # blob at the same time writes the same bytes.
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
        """Writing is atomic: an object of the right size is whole. An old one may be just about to be collected."""
        key = keys.blob_key(blob)
        found = (entry for entry in self._store.scan(key) if entry.key == key)
        return any(entry.size == blob.size and entry.modified_at >= since for entry in found)


class _Cut(Exception):
    """This transfer is given up because another one failed."""


class _Run:
    """What the transfers of one run share: how far they are, and whether they shall go on."""

    def __init__(self, advance: Callable[[int], None]) -> None:
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
        """Try again after a pause where the store cannot be reached, or has sent wrong bytes."""
        pause = _PAUSE
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
    """How much of one blob is done. What a second try repeats is not counted twice."""

    def __init__(self, report: Callable[[int], None]) -> None:
        self._report = report
        self._done = 0
        self._most = 0

    def restart(self, start: int) -> None:
        """The next bytes are those from `start` on; those before are here already."""
        self._done = 0
        self.add(start)

    def add(self, size: int) -> None:
        self._done += size
        if self._done > self._most:
            self._report(self._done - self._most)
            self._most = self._done
