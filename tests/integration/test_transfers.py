"""Do many parallel transfers move every byte, and end cleanly when one fails?"""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from da_agent.adapters.blob_files import BlobFiles
from da_agent.adapters.directory_store import DirectoryStore
from da_agent.adapters.transfers import ParallelTransfers
from da_agent.domain.node.paths import Paths
from da_agent.domain.store import keys
from da_agent.domain.store.blobs import blob_of
from da_agent.errors import AgentError, NodeBroken, OutcomeUnknown, StoreDamaged, Unreachable
from da_agent.ports import Always, Blobs, Condition, Sink, Store, Transfers
from tests.fakes import MemoryBlobs, MemoryStore, MemoryTransfers, SilentProgress

BODIES = {blob_of(body): body for body in (b"%d " % number * (number * 20_000) for number in range(30))}


PAUSE = 0.001


class BusyStore(MemoryStore):
    """Counts what is asked of it; `on_fetch` is called with the key before each fetch, and with the part it gave."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.written: list[tuple[str, Condition]] = []
        self.on_fetch: Callable[[str], object] = lambda key: None
        self.on_chunk: Callable[[str], object] = lambda key: None

    def fetch(self, key: str, sink: Sink, start: int = 0) -> None:
        self.fetched.append(key)
        self.on_fetch(key)

        def take(chunk: bytes) -> None:
            sink(chunk)
            self.on_chunk(key)

        super().fetch(key, take, start)

    def write(self, key: str, body: bytes | Path, when: Condition) -> str:
        self.written.append((key, when))
        return super().write(key, body, when)


@pytest.fixture
def store() -> BusyStore:
    return BusyStore()


@pytest.fixture
def blobs(tmp_path: Path) -> BlobFiles:
    return BlobFiles(Paths(tmp_path / "node"))


@pytest.fixture
def progress() -> SilentProgress:
    return SilentProgress()


@pytest.fixture
def parallel(store: BusyStore, blobs: BlobFiles, progress: SilentProgress) -> ParallelTransfers:
    return ParallelTransfers(store, blobs, progress, workers=4, pause=PAUSE)


def parallel_over_files(store: Store, folder: Path) -> tuple[Transfers, Blobs]:
    blobs = BlobFiles(Paths(folder / "node"))
    return ParallelTransfers(store, blobs, SilentProgress(), pause=PAUSE), blobs


def one_by_one_in_memory(store: Store, folder: Path) -> tuple[Transfers, Blobs]:
    blobs = MemoryBlobs()
    return MemoryTransfers(store, blobs), blobs


MAKERS: dict[str, Callable[[Store, Path], tuple[Transfers, Blobs]]] = {
    "parallel": parallel_over_files,
    "memory": one_by_one_in_memory,
}


@pytest.mark.parametrize("maker", MAKERS)
def test_what_was_uploaded_can_be_fetched(tmp_path: Path, maker: str) -> None:
    store = DirectoryStore.create(tmp_path / "store")
    first, _ = MAKERS[maker](store, tmp_path / "first")
    second, blobs = MAKERS[maker](store, tmp_path / "second")
    in_a_file = tmp_path / "body"
    in_a_file.write_bytes(os.urandom(2_500_000))
    big = blob_of(in_a_file.read_bytes())
    first.upload({**BODIES, big: in_a_file})
    second.fetch([*BODIES, big, big])
    assert all(blobs.has(blob) for blob in [*BODIES, big])
    first.upload(BODIES)
    second.fetch(BODIES)


@pytest.mark.parametrize("maker", MAKERS)
def test_a_blob_that_the_store_lacks_is_the_stores_fault_and_is_named(tmp_path: Path, maker: str) -> None:
    lost = blob_of(b"lost")
    transfer, _ = MAKERS[maker](MemoryStore(), tmp_path)
    with pytest.raises(StoreDamaged, match=keys.blob_key(lost)):
        transfer.fetch([lost])


@pytest.mark.parametrize("maker", MAKERS)
def test_wrong_bytes_in_the_store_are_never_kept(tmp_path: Path, maker: str) -> None:
    store = MemoryStore()
    store.write(keys.blob_key(blob_of(b"right")), b"wrong", Always())
    transfer, blobs = MAKERS[maker](store, tmp_path)
    with pytest.raises(StoreDamaged, match=keys.blob_key(blob_of(b"right"))):
        transfer.fetch([blob_of(b"right")])
    assert not blobs.has(blob_of(b"right"))


@pytest.mark.parametrize("maker", MAKERS)
def test_what_is_missing_or_has_other_bytes_is_put_back_and_nothing_else_is_written(tmp_path: Path, maker: str) -> None:
    store = MemoryStore()
    transfer, _ = MAKERS[maker](store, tmp_path)
    transfer.upload(BODIES)
    whole, altered, lost, gone, own = list(BODIES)[3:8]
    store.write(keys.blob_key(altered), bytes(altered.size), Always())
    for blob in (lost, gone, own):
        store.delete(keys.blob_key(blob))
    tag = store.read(keys.blob_key(whole)).tag
    mended = MAKERS[maker](store, tmp_path / "other")
    mended[1].receive(own, lambda sink, start: sink(BODIES[own]))
    found = mended[0].mend(BODIES, lambda blob: BODIES[blob] if blob in (altered, lost) else None)
    assert found == {gone}
    for blob in (whole, altered, lost, own):
        assert store.read(keys.blob_key(blob)).data == BODIES[blob]
    assert store.read(keys.blob_key(whole)).tag == tag


def test_what_the_node_has_is_not_asked_for_and_the_biggest_come_first(
    store: BusyStore, blobs: BlobFiles, progress: SilentProgress
) -> None:
    transfer = ParallelTransfers(store, blobs, progress, workers=1, pause=PAUSE)
    transfer.upload(BODIES)
    there = list(BODIES)[7]
    blobs.receive(there, lambda sink, start: sink(BODIES[there]))
    transfer.fetch(BODIES)
    missing = sorted((blob for blob in BODIES if blob != there), key=lambda blob: -blob.size)
    assert store.fetched == [keys.blob_key(blob) for blob in missing]
    assert progress.done["downloading"] == sum(blob.size for blob in missing)
    transfer.fetch(BODIES)
    assert len(store.fetched) == len(missing)


def test_transfers_run_side_by_side(store: BusyStore, parallel: ParallelTransfers) -> None:
    parallel.upload(BODIES)
    together = threading.Barrier(4, timeout=10)
    waiting = threading.Semaphore(4)

    def meet(key: str) -> None:
        if waiting.acquire(blocking=False):
            together.wait()

    store.on_fetch = meet
    parallel.fetch(BODIES)


def test_the_first_error_is_told_and_no_more_work_is_handed_out(
    store: BusyStore, blobs: BlobFiles, parallel: ParallelTransfers
) -> None:
    parallel.upload(BODIES)
    bad = keys.blob_key(max(BODIES, key=lambda blob: blob.size))
    others_wait = threading.Event()

    def fail(key: str) -> None:
        if key == bad:
            raise NodeBroken("the disk is full")
        others_wait.wait(0.5)

    store.on_fetch = fail
    with pytest.raises(NodeBroken, match="the disk is full"):
        parallel.fetch(BODIES)
    assert len(store.fetched) <= 4
    assert not any(thread.name.startswith("downloading") for thread in threading.enumerate())
    store.on_fetch = lambda key: None
    parallel.fetch(BODIES)
    assert all(blobs.has(blob) for blob in BODIES)


class EndlessStore(MemoryStore):
    """Gives one object so slowly that it never ends, and fails for another one once the first is on its way."""

    def __init__(self, endless: str) -> None:
        super().__init__()
        self._endless = endless
        self._begun = threading.Event()

    def fetch(self, key: str, sink: Sink, start: int = 0) -> None:
        if key != self._endless:
            assert self._begun.wait(10)
            raise NodeBroken("the disk is full")
        while True:
            sink(b"")
            self._begun.set()


def test_a_long_download_is_cut_short_when_another_one_fails(blobs: BlobFiles, tmp_path: Path) -> None:
    endless, bad = blob_of(b"endless"), blob_of(b"bad")
    transfer = ParallelTransfers(EndlessStore(keys.blob_key(endless)), blobs, SilentProgress(), pause=PAUSE)
    with pytest.raises(NodeBroken, match="the disk is full"):
        transfer.fetch([endless, bad])
    assert not blobs.has(endless)
    assert list((tmp_path / "node/agent/partial").iterdir()) == []


@pytest.mark.parametrize(("failures", "arrives"), [(1, True), (2, True), (3, False)])
def test_an_unreachable_store_is_asked_three_times_for_a_blob(
    store: BusyStore, blobs: BlobFiles, progress: SilentProgress, failures: int, arrives: bool
) -> None:
    transfer = ParallelTransfers(store, blobs, progress, workers=1, pause=PAUSE)
    body = bytes(3_000_000)
    blob = blob_of(body)
    transfer.upload({blob: body})
    left = [Unreachable("cut")] * failures

    def cut(key: str) -> None:
        if left:
            raise left.pop()

    store.on_chunk = cut
    if arrives:
        transfer.fetch([blob])
        assert progress.done["downloading"] == blob.size
    else:
        with pytest.raises(Unreachable, match="cut"):
            transfer.fetch([blob])
    assert blobs.has(blob) is arrives
    assert len(store.fetched) == min(failures + 1, 3)


def test_what_the_store_has_is_not_sent_again(store: BusyStore, parallel: ParallelTransfers) -> None:
    parallel.upload(BODIES)
    assert len(store.written) == len(BODIES)
    parallel.upload(BODIES)
    assert len(store.written) == len(BODIES)


def test_a_blob_in_the_store_that_lost_its_end_is_mended(store: BusyStore, parallel: ParallelTransfers) -> None:
    blob, body = blob_of(b"whole"), b"whole"
    store.write(keys.blob_key(blob), b"who", Always())
    parallel.upload({blob: body})
    assert store.read(keys.blob_key(blob)).data == body


@pytest.mark.parametrize("written", [True, False])
def test_after_a_lost_answer_the_blob_is_there_whether_or_not_it_was_written(
    store: BusyStore, parallel: ParallelTransfers, written: bool
) -> None:
    errors: list[AgentError] = [OutcomeUnknown("no answer")]

    def lose_the_answer(key: str) -> None:
        if errors:
            raise errors.pop()

    if written:
        store.after_write = lose_the_answer
    else:
        store.before_write = lose_the_answer
    parallel.upload({blob_of(b"x"): b"x"})
    assert store.read(keys.blob_key(blob_of(b"x"))).data == b"x"
    assert len(store.written) == (1 if written else 2)


def test_somebody_who_uploads_the_same_blob_meanwhile_does_no_harm(
    store: BusyStore, parallel: ParallelTransfers
) -> None:
    blob = blob_of(b"x")
    others = [b"x"]

    def be_faster(key: str) -> None:
        if others:
            store.write(key, others.pop(), Always())

    store.before_write = be_faster
    parallel.upload({blob: b"x"})
    assert store.read(keys.blob_key(blob)).data == b"x"


def test_nothing_to_do_shows_no_progress(parallel: ParallelTransfers, progress: SilentProgress) -> None:
    parallel.fetch([])
    parallel.upload({})
    assert progress.done == {}
