"""Does a directory keep the promises of a store when processes race, die, and people use plain tools?"""

import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from da_agent import files
from da_agent.adapters.directory_store import DirectoryStore
from da_agent.adapters.directory_store.tags import Tags, changed_at
from da_agent.errors import Conflict, Forbidden, Invalid, NodeBroken, NotFound, OutcomeUnknown, StoreUnfit, Unreachable
from da_agent.ports import Always, IfAbsent, IfTag

NOBODY = 65534 if os.geteuid() == 0 else os.getuid()
"""Somebody without privileges, also where the tests run as root."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> DirectoryStore:
    return DirectoryStore(root)


def keys_of(store: DirectoryStore, prefix: str = "", after: str = "") -> list[str]:
    return [entry.key for entry in store.scan(prefix, after)]


def child(code: str, *arguments: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


# ---- races and deaths -------------------------------------------------------------------------------------------

RACE_TO_CREATE = """
import sys
from pathlib import Path
from da_agent.adapters.directory_store import DirectoryStore
from da_agent.errors import Conflict
from da_agent.ports import IfAbsent
store = DirectoryStore(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
won = []
for number in range(200):
    try:
        store.write(f".agent/releases/{number:010d}.json", sys.argv[2].encode(), IfAbsent())
        won.append(number)
    except Conflict:
        pass
print(*won)
"""

RACE_TO_SWAP = """
import sys
from pathlib import Path
from da_agent.adapters.directory_store import DirectoryStore
from da_agent.errors import Conflict
from da_agent.ports import IfTag
store = DirectoryStore(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
done = 0
while done < 100:
    counter = store.read("counter")
    try:
        store.write("counter", str(int(counter.data) + 1).encode(), IfTag(counter.tag))
        done += 1
    except Conflict:
        pass
"""


def race(code: str, root: Path) -> list[str]:
    racers = [child(code, root, name) for name in ("one", "two", "three")]
    for racer in racers:
        assert racer.stdout
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("go\n")
        racer.stdin.flush()
    results = [racer.communicate(timeout=120)[0] for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0, 0]
    return results


def test_of_processes_that_race_to_create_exactly_one_wins(store: DirectoryStore, root: Path) -> None:
    won = [result.split() for result in race(RACE_TO_CREATE, root)]
    assert sorted(int(number) for numbers in won for number in numbers) == list(range(200))
    for name, numbers in zip(("one", "two", "three"), won, strict=True):
        for number in numbers:
            assert store.read(f".agent/releases/{int(number):010d}.json").data == name.encode()


def test_of_processes_that_race_to_swap_no_update_is_lost(store: DirectoryStore, root: Path) -> None:
    store.write("counter", b"0", IfAbsent())
    race(RACE_TO_SWAP, root)
    assert store.read("counter").data == b"300"


SWAP_FOR_EVER = """
import hashlib, sys
from pathlib import Path
from da_agent.adapters.directory_store import DirectoryStore
from da_agent.ports import IfTag
store = DirectoryStore(Path(sys.argv[1]))
tags = {key: store.read(key).tag for key in sys.argv[2:]}
number = 0
while True:
    for key in tags:
        body = f"{number} ".encode() * 50000
        tags[key] = store.write(key, hashlib.sha256(body).hexdigest().encode() + body, IfTag(tags[key]))
        number += 1
        print(number, flush=True)
"""


def test_a_writer_killed_in_the_middle_leaves_each_object_whole_and_no_lock(store: DirectoryStore, root: Path) -> None:
    keys = ["a/one", "a/two"]
    for key in keys:
        store.write(key, hashlib.sha256(b"").hexdigest().encode(), IfAbsent())
    for round_ in range(12):
        with child(SWAP_FOR_EVER, root, *keys) as writer:
            assert writer.stdout
            writer.stdout.readline()
            # Another moment of the loop in each round: nothing is waited for here, it is the place of the cut.
            time.sleep(0.003 * round_)
            writer.send_signal(signal.SIGKILL)
        for key in keys:
            stored = store.read(key)
            assert hashlib.sha256(stored.data[64:]).hexdigest().encode() == stored.data[:64]
            store.write(key, stored.data, IfTag(stored.tag))
    assert keys_of(store) == keys


def test_what_dead_writers_left_is_never_listed_and_gone_after_a_day(store: DirectoryStore, root: Path) -> None:
    store.write("first", b"1", Always())
    old, young = root / ".agent/tmp/old", root / ".agent/tmp/young"
    for path in (old, young):
        path.write_bytes(b"half a rel")
    os.utime(old, (0, 0))
    assert keys_of(store) == ["first"]
    assert keys_of(store, ".agent/tmp/") == []
    DirectoryStore(root).write("second", b"2", Always())
    assert not old.exists()
    assert young.exists()


def test_a_writer_that_waits_too_long_for_the_lock_says_so(root: Path) -> None:
    store = DirectoryStore(root, lock_patience=0.1)
    holder = """
import fcntl, sys, signal
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
signal.pause()
"""
    store.write("a", b"1", Always())
    with child(holder, root / ".agent/lock") as process:
        assert process.stdout
        process.stdout.readline()
        with pytest.raises(Unreachable, match=r"\.agent/lock is still locked after 0 s"):
            store.write("a", b"2", Always())
        store.write("b", b"1", IfAbsent())  # which needs no lock
        process.kill()
    store.write("a", b"2", Always())
    assert store.read("a").data == b"2"


# ---- absent, unreachable, forbidden, full -----------------------------------------------------------------------

ACTS: dict[str, Callable[[DirectoryStore], object]] = {
    "clock": lambda store: store.clock(),
    "identity": lambda store: store.identity,
    "read": lambda store: store.read(".agent/releases/0000000001.json"),
    "fetch": lambda store: store.fetch("config.yml", lambda chunk: None),
    "scan": lambda store: list(store.scan("certs/")),
    "write": lambda store: store.write("config.yml", b"", Always()),
    "create": lambda store: store.write("config.yml", b"", IfAbsent()),
    "swap": lambda store: store.write("config.yml", b"", IfTag("tag")),
    "delete": lambda store: store.delete("config.yml"),
}


@pytest.mark.parametrize("act", ACTS)
def test_a_missing_root_is_unreachable_and_never_made(tmp_path: Path, act: str) -> None:
    with pytest.raises(Unreachable, match=f"{tmp_path}/away.*no such file"):
        ACTS[act](DirectoryStore(tmp_path / "away"))
    assert not (tmp_path / "away").exists()


@pytest.mark.parametrize("act", ACTS)
def test_a_root_that_is_a_file_is_unreachable(tmp_path: Path, act: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unreachable, match="not a directory"):
        ACTS[act](DirectoryStore(tmp_path / "file"))


@pytest.mark.parametrize("act", ACTS)
def test_the_empty_folder_under_a_lost_mount_is_no_empty_store(store: DirectoryStore, root: Path, act: str) -> None:
    store.write(".agent/releases/0000000001.json", b"{}", IfAbsent())
    store.write("config.yml", b"", Always())
    root.rename(root.with_name("mounted"))
    root.mkdir()
    with pytest.raises(Unreachable, match="is it still mounted"):
        ACTS[act](store)
    assert list(root.iterdir()) == []

    root.rmdir()
    root.with_name("mounted").rename(root)
    assert store.read(".agent/releases/0000000001.json").data == b"{}"


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.ETIMEDOUT])
def test_a_mount_that_fails_is_unreachable(store: DirectoryStore, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    store.write("config.yml", b"", Always())

    def fail(descriptor: int, size: int) -> bytes:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "read", fail)
    with pytest.raises(Unreachable, match=os.strerror(number).lower()):
        store.read("config.yml")
    with pytest.raises(Unreachable, match=os.strerror(number).lower()):
        store.fetch("config.yml", lambda chunk: None)
    with pytest.raises(Unreachable, match=os.strerror(number).lower()):
        keys_of(store)


@pytest.mark.parametrize(
    ("when", "expected"), [(Always(), Unreachable), (IfAbsent(), OutcomeUnknown), (IfTag("tag"), OutcomeUnknown)]
)
def test_a_mount_that_fails_at_the_last_step_leaves_doubt_only_about_conditions(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch, when: Always | IfAbsent | IfTag, expected: type[Unreachable]
) -> None:
    store.write("other", b"", Always())
    if isinstance(when, IfTag):
        when = IfTag(store.write("key", b"old", Always()))

    def fail(path: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(files, "sync_directory", fail)
    with pytest.raises(Unreachable) as caught:
        store.write("key", b"new", when)
    assert type(caught.value) is expected


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("when", [Always(), IfAbsent()])
def test_a_full_directory_says_that_it_is_full_and_leaves_no_doubt(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch, number: int, when: Always | IfAbsent
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Unreachable, match=f"the disk of {store.name[7:]} is full, or its quota.*make room") as caught:
        store.write("key", b"new", when)
    assert type(caught.value) is Unreachable
    monkeypatch.undo()
    assert keys_of(store) == []


def test_a_file_system_without_hard_links_is_unfit(store: DirectoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(StoreUnfit, match="no hard links"):
        store.write("key", b"new", IfAbsent())
    assert keys_of(store) == []


def test_a_link_whose_answer_was_lost_has_been_made(store: DirectoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def link_twice(source: Path, target: Path) -> None:
        link(source, target)
        link(source, target)  # what a network mount does when it hears nothing

    monkeypatch.setattr(os, "link", link_twice)
    store.write("key", b"new", IfAbsent())
    with pytest.raises(Conflict):
        store.write("key", b"newer", IfAbsent())
    assert store.read("key").data == b"new"


AS_NOBODY = """
import os, sys
from pathlib import Path
from da_agent.adapters.directory_store import DirectoryStore
from da_agent.errors import AgentError
from da_agent.ports import Always
os.setuid(int(sys.argv[2]))
store = DirectoryStore(Path(sys.argv[1]))
acts = {
    "read": lambda: store.read("certs/docassemble.key").data.decode(),
    "scan": lambda: [entry.key for entry in store.scan("certs/")],
    "write": lambda: store.write("config.yml", b"", Always()),
    "clock": store.clock,
}
try:
    print("fine:", acts[sys.argv[3]]())
except AgentError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def open_root() -> Iterator[Path]:
    """Where another user can get to: pytest's own folders are closed."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
        Path(folder).chmod(0o755)


@pytest.mark.parametrize("act", ["read", "scan", "write", "clock"])
def test_what_the_file_system_does_not_allow_is_forbidden(open_root: Path, act: str) -> None:
    (open_root / "certs").mkdir()
    (open_root / "certs/docassemble.key").write_bytes(b"secret")
    (open_root / "certs/docassemble.key").chmod(0o000)
    open_root.chmod(0o555)
    answer = child(AS_NOBODY, open_root, NOBODY, act).communicate(timeout=60)[0]
    assert answer.startswith("Forbidden cannot")
    assert str(open_root) in answer
    assert "permission denied" in answer


def test_what_root_writes_can_be_read_by_the_owner_of_the_store(open_root: Path) -> None:
    os.chown(open_root, NOBODY, -1)
    DirectoryStore(open_root).write("certs/docassemble.key", b"secret", Always())
    assert child(AS_NOBODY, open_root, NOBODY, "read").communicate(timeout=60)[0] == "fine: secret\n"
    assert child(AS_NOBODY, open_root, NOBODY, "write").communicate(timeout=60)[0].startswith("fine:")


def test_our_folder_and_what_we_write_are_closed_to_others(store: DirectoryStore, root: Path) -> None:
    store.write("config.yml", b"password: x", Always())
    store.write(".agent/releases/0000000001.json", b"{}", IfAbsent())
    assert (root / ".agent").stat().st_mode & 0o777 == 0o700
    assert (root / "config.yml").stat().st_mode & 0o077 == 0
    assert (root / ".agent/releases/0000000001.json").stat().st_mode & 0o077 == 0


# ---- names ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../out", "certs/../../out", "a//b", "a/", "./a", "a\0b", "\udcff"])
def test_a_key_never_leads_out_of_the_root(store: DirectoryStore, key: str) -> None:
    for act in (
        lambda: store.read(key),
        lambda: store.fetch(key, lambda chunk: None),
        lambda: store.write(key, b"", Always()),
        lambda: store.delete(key),
    ):
        with pytest.raises(Invalid, match="is not a name"):
            act()


def test_a_prefix_never_leads_out_of_the_root(store: DirectoryStore) -> None:
    with pytest.raises(Invalid):
        keys_of(store, "../")
    with pytest.raises(Invalid):
        keys_of(store, "/etc/")


def test_symbolic_links_are_followed_inside_the_root_and_nowhere_else(store: DirectoryStore, root: Path) -> None:
    secret = root.with_name("secret")
    secret.write_bytes(b"secret")
    store.write("data/v1/config.yml", b"first", Always())
    (root / "config.yml").symlink_to("data/v1/config.yml")
    (root / "packages").symlink_to("data")
    (root / "stolen").symlink_to(secret)
    (root / "stolen-folder").symlink_to(root.parent)
    (root / "dangling").symlink_to("nowhere")
    (root / "loop").symlink_to("loop")
    assert store.read("config.yml").data == b"first"
    assert keys_of(store) == ["config.yml", "data/v1/config.yml", "packages/v1/config.yml"]
    for key in ("stolen", "stolen-folder/secret"):
        with pytest.raises(Forbidden, match="symbolic link leads out"):
            store.read(key)
    with pytest.raises(Forbidden, match="symbolic link leads out"):
        store.write("stolen-folder/new", b"", Always())
    with pytest.raises(Forbidden, match="symbolic link leads out"):
        store.delete("stolen-folder/secret")
    assert secret.read_bytes() == b"secret"
    for key in ("dangling", "loop"):
        with pytest.raises(NotFound):
            store.read(key)


def test_a_symbolic_link_to_a_folder_above_is_no_endless_listing(store: DirectoryStore, root: Path) -> None:
    store.write("certs/a", b"", Always())
    (root / "certs/up").symlink_to("..")
    assert keys_of(store) == ["certs/a"]


def test_pipes_folders_and_names_that_are_no_text_are_no_objects(store: DirectoryStore, root: Path) -> None:
    store.write("certs/a", b"", Always())
    os.mkfifo(root / "certs/pipe")
    (root / "certs/folder").mkdir()
    os.close(os.open(os.fsencode(root) + b"/certs/\xff.crt", os.O_CREAT))
    assert keys_of(store) == ["certs/a"]
    for key in ("certs/pipe", "certs/folder", "certs/a/below"):
        with pytest.raises(NotFound):
            store.read(key)
    with pytest.raises(Invalid, match="it is a folder"):
        store.write("certs/folder", b"", IfAbsent())
    with pytest.raises(Invalid, match="cannot write certs/a/below"):
        store.write("certs/a/below", b"", IfAbsent())
    store.delete("certs/folder")
    assert (root / "certs/folder").is_dir()


NAMES = ["a", "a.b", "a/b", "a/b.c", "a/b/c", "a/bc", "a0", "ab/c", "b/a", "b/é", "b/\U0001f600", "c"]


def test_a_listing_is_in_the_order_of_whole_keys(store: DirectoryStore) -> None:
    names = [name for name in NAMES if name not in ("a", "a/b")]  # which are folders here
    for name in names:
        store.write(name, b"", Always())
    everything = keys_of(store)
    assert everything == sorted(names)
    for prefix in ["", "a", "a/", "a/b", "a/b/", "b/", "c", "d/", "z"]:
        for after in ["", *names, "a/", "a/b", "a/b/", "a/b/z", "b", "zz"]:
            wanted = [name for name in everything if name.startswith(prefix) and name > after]
            assert keys_of(store, prefix, after) == wanted, (prefix, after)


def test_a_listing_survives_what_vanishes_meanwhile(store: DirectoryStore, root: Path) -> None:
    for folder in "abc":
        for name in "123":
            store.write(f"{folder}/{name}", b"", Always())
    listing = store.scan("")
    assert next(listing).key == "a/1"
    (root / "a/2").unlink()
    shutil.rmtree(root / "b")
    assert [entry.key for entry in listing] == ["a/3", "c/1", "c/2", "c/3"]


# ---- plain tools ------------------------------------------------------------------------------------------------


def test_an_unchanged_big_inbox_is_not_read_again(store: DirectoryStore, root: Path) -> None:
    reads = 0

    def count(key: str, descriptor: int) -> tuple[str, os.stat_result]:
        nonlocal reads
        reads += 1
        return Tags.compute(store._tags, key, descriptor)

    (root / "packages").mkdir()
    for number in range(5):
        (root / f"packages/{number}.whl").write_bytes(os.urandom(1000))
        os.utime(root / f"packages/{number}.whl", (1e9, 1e9))
    first = list(store.scan("packages/"))
    assert [entry.tag for entry in first] == [store.read(entry.key).tag for entry in first]
    wait_until_stamps_can_be_trusted(store, root)
    list(store.scan("packages/"))

    object.__setattr__(store._tags, "compute", count)
    assert list(store.scan("packages/")) == first
    assert reads == 0
    (root / "packages/3.whl").write_bytes(os.urandom(1000))
    second = list(store.scan("packages/"))
    assert reads == 1
    assert [old.tag == new.tag for old, new in zip(first, second, strict=True)] == [True, True, True, False, True]


def test_listing_blobs_reads_none_of_them(store: DirectoryStore, root: Path) -> None:
    body = b"whole"
    names = [hashlib.sha256(each).hexdigest() for each in (body, b"damaged")]
    keys = [f".agent/blobs/sha256/{name[:2]}/{name}" for name in names]
    tag = store.write(keys[0], body, Always())
    store.write(keys[1], b"other", Always())
    assert {(entry.key, entry.size, entry.tag) for entry in store.scan(".agent/blobs/")} == {
        (keys[0], 5, tag),
        (keys[1], 5, names[1]),
    }
    with pytest.raises(Conflict):
        store.write(keys[1], b"damaged", IfTag(names[1]))


def wait_until_stamps_can_be_trusted(store: DirectoryStore, root: Path) -> None:
    newest = max(entry.modified_at for entry in store.scan(""))
    while store.clock() <= newest + timedelta(seconds=2.1):
        time.sleep(0.1)


@pytest.mark.parametrize(("age", "trusted"), [(0, False), (1, False), (3, True)])
def test_a_hash_is_only_trusted_once_a_later_write_would_have_a_later_time_stamp(
    tmp_path: Path, age: int, trusted: bool
) -> None:
    path = tmp_path / "config.yml"
    path.write_bytes(b"x")
    status = path.stat()
    tags = Tags(lambda: changed_at(status) + age * 10**9)
    descriptor = os.open(path, os.O_RDONLY)
    tag, _ = tags.compute("config.yml", descriptor)
    os.close(descriptor)
    assert tag == hashlib.sha256(b"x").hexdigest()
    assert tags.known("config.yml", status) == (tag if trusted else None)


def test_an_old_file_that_is_copied_or_moved_in_counts_as_new(store: DirectoryStore, root: Path) -> None:
    before = store.clock()
    old = root.with_name("old.crt")
    old.write_bytes(b"certificate")
    os.utime(old, (1e9, 1e9))
    (root / "certs").mkdir()
    subprocess.run(["cp", "-p", old, root / "certs/copied.crt"], check=True)
    subprocess.run(["mv", old, root / "certs/moved.crt"], check=True)
    entries = list(store.scan("certs/"))
    assert [entry.key for entry in entries] == ["certs/copied.crt", "certs/moved.crt"]
    assert all(before <= entry.modified_at <= store.clock() for entry in entries)
    assert store.read("certs/moved.crt").modified_at == entries[1].modified_at


def test_a_swap_notices_what_people_changed_with_plain_tools(store: DirectoryStore, root: Path) -> None:
    tag = store.write("config.yml", b"first", Always())
    (root / "config.yml").write_bytes(b"by hand")
    with pytest.raises(Conflict, match="changed by another process"):
        store.write("config.yml", b"second", IfTag(tag))
    assert (root / "config.yml").read_bytes() == b"by hand"


def test_a_write_replaces_a_symbolic_link_and_not_what_it_points_to(store: DirectoryStore, root: Path) -> None:
    other = root.with_name("other")
    other.write_bytes(b"other")
    (root / "config.yml").symlink_to(other)
    store.write("config.yml", b"mine", Always())
    assert other.read_bytes() == b"other"
    assert store.read("config.yml").data == b"mine"


def test_the_clock_only_goes_forward_and_covers_what_was_written(store: DirectoryStore) -> None:
    times = []
    for number in range(20):
        times.append(store.clock())
        store.write("a", str(number).encode(), Always())
        times.append(store.read("a").modified_at)
    assert all(earlier <= later for earlier, later in pairwise(times))


def test_fetch_streams_in_bounded_chunks(store: DirectoryStore, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(os.urandom(3 * 1024 * 1024 + 5))
    tag = store.write("big", body, IfAbsent())
    chunks: list[bytes] = []
    store.fetch("big", chunks.append)
    assert b"".join(chunks) == body.read_bytes()
    assert max(map(len, chunks)) <= 1024 * 1024
    assert tag == hashlib.sha256(body.read_bytes()).hexdigest()


def test_an_error_of_the_sink_is_not_taken_for_one_of_the_store(store: DirectoryStore) -> None:
    store.write("a", b"x", Always())

    def sink(chunk: bytes) -> None:
        raise OSError(errno.ENOSPC, "the disk of the node")

    with pytest.raises(OSError, match="the disk of the node"):
        store.fetch("a", sink)


def test_a_body_that_cannot_be_read_is_the_nodes_fault(store: DirectoryStore, tmp_path: Path) -> None:
    with pytest.raises(NodeBroken, match=f"cannot read {tmp_path}/none"):
        store.write("a", tmp_path / "none", Always())
    assert keys_of(store) == []


def test_create_makes_a_new_store_and_opens_an_old_one(tmp_path: Path) -> None:
    DirectoryStore.create(tmp_path / "new/store").write("a", b"x", Always())
    assert DirectoryStore.create(tmp_path / "new/store").read("a").data == b"x"


def test_one_directory_has_one_identity_and_another_has_another(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    assert DirectoryStore(root).identity == DirectoryStore(tmp_path / "link").identity
    assert DirectoryStore(root).identity != DirectoryStore(tmp_path).identity
