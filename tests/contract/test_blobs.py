"""Does every place for blobs keep the promises of ports.Blobs?"""

import errno
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from da_agent.adapters.blob_files import BlobFiles
from da_agent.domain.node.paths import Paths
from da_agent.domain.store.blobs import Blob, blob_of
from da_agent.errors import Corrupt, NodeBroken, Unreachable
from da_agent.ports import Blobs, Sink
from tests.fakes import MemoryBlobs

BODY = b"some bytes " * 1000
BLOB = blob_of(BODY)

MAKERS: dict[str, Callable[[Path], Blobs]] = {
    "files": lambda folder: BlobFiles(Paths(folder)),
    "memory": lambda folder: MemoryBlobs(),
}


def filling(*chunks: bytes) -> Callable[[Sink, int], None]:
    def fill(sink: Sink, start: int) -> None:
        for chunk in chunks:
            sink(chunk)

    return fill


@pytest.fixture(params=MAKERS)
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    return MAKERS[request.param](tmp_path)


@pytest.fixture
def files(tmp_path: Path) -> BlobFiles:
    return BlobFiles(Paths(tmp_path))


def everything(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name != "boot"]


def test_what_was_received_is_there(blobs: Blobs) -> None:
    assert not blobs.has(BLOB)
    blobs.receive(BLOB, filling(BODY[:5], BODY[5:]))
    assert blobs.has(BLOB)


def test_an_empty_blob_is_a_blob(blobs: Blobs) -> None:
    blobs.receive(blob_of(b""), filling())
    assert blobs.has(blob_of(b""))


def test_receiving_twice_is_the_same_as_receiving_once(blobs: Blobs) -> None:
    blobs.receive(BLOB, filling(BODY))
    blobs.receive(BLOB, filling(BODY))
    assert blobs.has(BLOB)


@pytest.mark.parametrize("wrong", [BODY[:-1], BODY + b"x", BODY[:-1] + b"x", b""])
def test_wrong_bytes_are_never_kept(blobs: Blobs, wrong: bytes) -> None:
    with pytest.raises(Corrupt, match=BLOB.sha256):
        blobs.receive(BLOB, filling(wrong))
    assert not blobs.has(BLOB)


def test_a_cut_download_is_never_kept_and_its_error_is_told(blobs: Blobs) -> None:
    def fill(sink: Sink, start: int) -> None:
        sink(BODY[:5000])
        raise Unreachable("the store went away")

    with pytest.raises(Unreachable, match="the store went away"):
        blobs.receive(BLOB, fill)
    assert not blobs.has(BLOB)


def cutting(*chunks: bytes) -> Callable[[Sink, int], None]:
    def fill(sink: Sink, start: int) -> None:
        filling(*chunks)(sink, start)
        raise Unreachable("the store went away")

    return fill


class Source:
    """Gives `body` from the place on that it is asked for, and remembers those places."""

    def __init__(self, body: bytes = BODY) -> None:
        self.body = body
        self.asked: list[int] = []

    def fill(self, sink: Sink, start: int) -> None:
        self.asked.append(start)
        sink(self.body[start:])


def test_after_a_cut_only_the_rest_is_asked_for(blobs: Blobs) -> None:
    source = Source()
    for part in (BODY[:5000], BODY[5000:7000]):
        with pytest.raises(Unreachable):
            blobs.receive(BLOB, cutting(part))
    blobs.receive(BLOB, source.fill)
    assert source.asked == [7000]
    assert blobs.has(BLOB)


def test_when_the_kept_bytes_slot_out_wrong_everything_is_asked_for_once_more(blobs: Blobs) -> None:
    source = Source()
    with pytest.raises(Unreachable):
        blobs.receive(BLOB, cutting(b"wrong"))
    blobs.receive(BLOB, source.fill)
    assert source.asked == [5, 0]
    assert blobs.has(BLOB)


def test_what_stays_wrong_is_asked_for_twice_and_then_told(blobs: Blobs) -> None:
    source = Source(bytes(len(BODY)))
    with pytest.raises(Unreachable):
        blobs.receive(BLOB, cutting(b"wrong"))
    with pytest.raises(Corrupt):
        blobs.receive(BLOB, source.fill)
    assert source.asked == [5, 0]
    source.body = BODY
    blobs.receive(BLOB, source.fill)
    assert source.asked == [5, 0, 0]


def test_what_is_needless_can_be_removed_and_the_rest_stays(blobs: Blobs) -> None:
    others = [b"other", b"another"]
    blobs.receive(BLOB, filling(BODY))
    for other in others:
        blobs.receive(blob_of(other), filling(other))
    needless = blobs.needless(frozenset({BLOB, blob_of(b"not here")}), datetime.now(UTC) + timedelta(seconds=10))
    assert needless == tuple(sorted(blob_of(other).sha256 for other in others))
    for sha256 in needless:
        blobs.remove(sha256)
        blobs.remove(sha256)
    assert blobs.has(BLOB)
    assert not any(blobs.has(blob_of(other)) for other in others)


# ---- files alone ------------------------------------------------------------------------------------------------


def test_a_blob_is_a_read_only_file_named_by_its_hash(files: BlobFiles) -> None:
    files.receive(BLOB, filling(BODY))
    path = files.path(BLOB)
    assert path.read_bytes() == BODY
    assert path.name == BLOB.sha256
    assert path.stat().st_mode & 0o777 == 0o400


def test_what_a_power_cut_has_spoilt_is_found_after_the_next_start_of_the_machine(
    files: BlobFiles, tmp_path: Path
) -> None:
    other = blob_of(b"other")
    files.receive(BLOB, filling(BODY))
    files.receive(other, filling(b"other"))
    # The name and the length have reached the disk, the bytes have not.
    files.path(BLOB).chmod(0o644)
    files.path(BLOB).write_bytes(bytes(BLOB.size))
    (tmp_path / "boot_id").write_text("another life\n")
    after = BlobFiles(Paths(tmp_path), tmp_path / "boot_id")
    assert not after.has(BLOB)
    assert after.has(other)
    after.receive(BLOB, filling(BODY))
    assert BlobFiles(Paths(tmp_path), tmp_path / "boot_id").has(BLOB)
    assert (tmp_path / "agent" / "boot").read_text() == "another life"


def test_what_somebody_else_has_put_beside_the_blobs_is_left_alone(files: BlobFiles, tmp_path: Path) -> None:
    files.receive(BLOB, filling(BODY))
    beside = [tmp_path / "agent" / "blobs" / "2d" / ("2d" * 32), tmp_path / "agent" / "blobs" / ("z" * 64)]
    for path in beside:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"notes")
    (tmp_path / "boot_id").write_text("another life\n")
    after = BlobFiles(Paths(tmp_path), tmp_path / "boot_id")
    assert after.has(BLOB)
    assert after.needless(frozenset(), datetime.now(UTC) + timedelta(days=1)) == (BLOB.sha256,)
    assert [path.read_bytes() for path in beside] == [b"notes", b"notes"]


@pytest.mark.parametrize("chunks", [[BODY[:-1]], [BODY, b"x"], [b"y" * len(BODY)]])
def test_nothing_is_left_of_wrong_bytes(files: BlobFiles, tmp_path: Path, chunks: list[bytes]) -> None:
    with pytest.raises(Corrupt):
        files.receive(BLOB, filling(*chunks))
    assert everything(tmp_path) == []


def test_a_short_body_is_told_from_a_wrong_one(files: BlobFiles) -> None:
    with pytest.raises(Corrupt, match=f"came with 5 bytes instead of {BLOB.size}"):
        files.receive(BLOB, filling(BODY[:5]))
    with pytest.raises(Corrupt, match="came with other bytes"):
        files.receive(BLOB, filling(BODY[1:], b"x"))


def test_a_body_without_end_is_refused_at_its_first_surplus_byte(files: BlobFiles) -> None:
    taken = 0

    def fill(sink: Sink, start: int) -> None:
        nonlocal taken
        while True:
            sink(b"z" * 1000)
            taken += 1000

    with pytest.raises(Corrupt, match="more than its"):
        files.receive(BLOB, fill)
    assert taken <= BLOB.size


def test_a_file_that_lost_its_end_is_not_taken_for_the_blob(files: BlobFiles) -> None:
    files.receive(BLOB, filling(BODY))
    files.path(BLOB).unlink()
    files.path(BLOB).write_bytes(BODY[:100])
    assert not files.has(BLOB)
    files.receive(BLOB, filling(BODY))
    assert files.path(BLOB).read_bytes() == BODY


def test_a_full_disk_is_the_nodes_fault_and_says_how_much_is_missing(
    files: BlobFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    big = Blob("0" * 64, 2**60)
    free = os.statvfs(tmp_path).f_frsize * os.statvfs(tmp_path).f_bavail
    monkeypatch.setattr(os, "write", full)
    sentence = rf"the disk of {tmp_path}/\S+ is full: \S+ MB free, about (\S+) MB more are needed"
    with pytest.raises(NodeBroken, match=sentence) as caught:
        files.receive(big, filling(b"x"))
    monkeypatch.undo()
    missing = float(str(caught.value).split("about ")[1].split()[0]) * 1e6
    assert abs(missing - (2**60 - free)) < 2**33
    assert everything(tmp_path) == []


def test_a_write_that_the_kernel_refuses_midway_leaves_nothing(tmp_path: Path) -> None:
    """RLIMIT_FSIZE makes the kernel write a part and then refuse: what a full disk does, without one."""
    child = """
import hashlib, resource, signal, sys
from pathlib import Path
from da_agent.adapters.blob_files import BlobFiles
from da_agent.domain.store.blobs import blob_of
from da_agent.domain.node.paths import Paths
from da_agent.errors import NodeBroken
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
body = b"z" * 20000
try:
    BlobFiles(Paths(Path(sys.argv[1]))).receive(blob_of(body), lambda sink, start: sink(body))
except NodeBroken as error:
    print(error)
"""
    command = [sys.executable, "-c", child, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith(f"cannot write to {tmp_path}/agent/partial: file too large")
    assert everything(tmp_path) == []


CHILD = """
import os, signal, sys
from pathlib import Path
from da_agent.adapters.blob_files import BlobFiles
from da_agent.domain.store.blobs import Blob
from da_agent.domain.node.paths import Paths
def fill(sink, start):
    sink(b"some bytes " * 500)
    print("begun", flush=True)
    sys.stdin.readline()
    sink(b"some bytes " * 500)
BlobFiles(Paths(Path(sys.argv[1]))).receive(Blob(sys.argv[2], int(sys.argv[3])), fill)
"""


@contextmanager
def half_way(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process, that has received half of the blob; with a line on stdin it receives the rest and ends."""
    command = [sys.executable, "-c", CHILD, str(folder), BLOB.sha256, str(BLOB.size)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "begun\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_process_killed_in_a_download_leaves_nothing_that_is_read_and_the_next_one_goes_on(
    files: BlobFiles, tmp_path: Path
) -> None:
    with half_way(tmp_path) as process:
        process.kill()
        process.wait(60)
    assert len(everything(tmp_path)) == 1
    assert not files.has(BLOB)
    assert not files.path(BLOB).exists()

    source = Source()
    files.receive(BLOB, source.fill)
    assert source.asked == [len(BODY) // 2]
    assert everything(tmp_path) == [files.path(BLOB)]
    assert hashlib.sha256(files.path(BLOB).read_bytes()).hexdigest() == BLOB.sha256


def test_two_processes_that_receive_the_same_blob_do_not_disturb_each_other(files: BlobFiles, tmp_path: Path) -> None:
    source = Source()
    with half_way(tmp_path) as process:
        files.receive(BLOB, source.fill)
        assert files.path(BLOB).read_bytes() == BODY
        process.communicate("go on\n", timeout=60)
        assert process.returncode == 0
    assert source.asked == [0]
    assert everything(tmp_path) == [files.path(BLOB)]
    assert files.path(BLOB).read_bytes() == BODY


def test_what_nobody_has_gone_on_with_for_a_day_is_removed_unless_somebody_is_at_it(tmp_path: Path) -> None:
    with pytest.raises(Unreachable):
        BlobFiles(Paths(tmp_path)).receive(blob_of(b"unwanted"), cutting(b"unw"))
    with half_way(tmp_path):
        (left, busy) = sorted(everything(tmp_path), key=lambda path: path.stat().st_size)
        for path in (left, busy):
            os.utime(path, (0, 0))
        BlobFiles(Paths(tmp_path)).receive(blob_of(b"another"), filling(b"another"))
        assert busy.exists()
        assert not left.exists()


def test_a_full_disk_that_was_given_room_takes_the_rest(
    files: BlobFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unreachable):
        files.receive(BLOB, cutting(BODY[:5000]))
    monkeypatch.setattr(os, "write", lambda descriptor, data: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with pytest.raises(NodeBroken):
        files.receive(BLOB, Source().fill)
    monkeypatch.undo()
    assert everything(tmp_path) == []
    files.receive(BLOB, Source().fill)
    assert files.has(BLOB)
