"""Does every store keep the promises of ports.Store?"""

import hashlib
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, timedelta
from functools import partial
from pathlib import Path

import pytest

from da_agent.adapters.directory_store import DirectoryStore
from da_agent.adapters.races import run_together
from da_agent.adapters.s3_store import S3Store
from da_agent.domain import limits
from da_agent.domain.store.locations import S3Location
from da_agent.errors import AgentError, Conflict, Corrupt, Invalid, NotFound, OutcomeUnknown, Unreachable
from da_agent.ports import Always, IfAbsent, IfTag, Store
from tests.contract.conftest import StoreMaker
from tests.fakes import MemoryStore

KEYS = [
    "config.yml",
    "certs/docassemble.ca.pem",
    ".agent/releases/0000000001.json",
    "packages/a package-1.0+local.zip",
    "packages/größe-日本-🐘.whl",
    "packages/100%25?a=b&c#d.zip",
    'packages/it\'s "so" <nice> \\ ~*.zip',
    "packages/...",
    "a" * 200,
]
BYTES = [b"", b"\0", b"a\r\nb\n", bytes(range(256)) * 5000]


def keys_of(store: Store, prefix: str = "", after: str = "") -> list[str]:
    return [entry.key for entry in store.scan(prefix, after)]


def fetched(store: Store, key: str, start: int = 0) -> bytes:
    body = bytearray()
    store.fetch(key, body.extend, start)
    return bytes(body)


# ---- reading and writing


@pytest.mark.parametrize("key", KEYS)
def test_what_was_written_is_read_by_another_node_under_the_same_key(node: StoreMaker, key: str) -> None:
    writer, reader = node(), node()
    tag = writer.write(key, key.encode(), Always())
    stored = reader.read(key)
    assert (stored.data, stored.tag) == (key.encode(), tag)
    assert keys_of(reader) == [key]
    assert writer.write(key, b"more", IfTag(stored.tag)) != tag
    reader.delete(key)
    assert keys_of(writer) == []


@pytest.mark.parametrize("data", BYTES, ids=len)
def test_bytes_come_back_as_they_were(store: Store, data: bytes) -> None:
    store.write("bytes", data, Always())
    assert store.read("bytes").data == data
    assert fetched(store, "bytes") == data


@pytest.mark.parametrize("start", [0, 1, 1024 * 1024, 2_499_999, 2_500_000, 2_500_001, 9_000_000])
def test_an_object_can_be_fetched_from_any_place_on(store: Store, start: int) -> None:
    body = secrets.token_bytes(2_500_000)
    store.write("key", body, Always())
    assert fetched(store, "key", start) == body[start:]
    with pytest.raises(NotFound):
        fetched(store, "another", start)


def test_a_file_is_written_like_its_bytes(store: Store, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"from a file")
    store.write("always", tmp_path / "body", Always())
    tag = store.write("created", tmp_path / "body", IfAbsent())
    with pytest.raises(Conflict):
        store.write("created", tmp_path / "body", IfAbsent())
    (tmp_path / "body").write_bytes(b"changed")
    store.write("created", tmp_path / "body", IfTag(tag))
    assert store.read("always").data == b"from a file"
    assert store.read("created").data == b"changed"


def test_a_big_file_is_streamed_there_and_back(store: Store, tmp_path: Path) -> None:
    part = secrets.token_bytes(1024 * 1024)
    with (tmp_path / "big").open("wb") as file:
        for number in range(70):
            file.write(number.to_bytes(4, "big") + part)
    tag = store.write("big", tmp_path / "big", Always())
    digest, sizes = hashlib.sha256(), list[int]()

    def sink(chunk: bytes) -> None:
        digest.update(chunk)
        sizes.append(len(chunk))

    store.fetch("big", sink)
    assert digest.hexdigest() == hashlib.sha256((tmp_path / "big").read_bytes()).hexdigest()
    assert max(sizes) <= 4 * 1024 * 1024
    (entry,) = store.scan("big")
    assert (entry.size, entry.tag) == (sum(sizes), tag)


def test_an_error_of_the_sink_comes_out_as_it_is(store: Store) -> None:
    store.write("key", b"data", Always())

    def full(chunk: bytes) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        store.fetch("key", full)
    assert fetched(store, "key") == b"data"


def test_the_last_write_wins_and_deleting_twice_is_like_once(store: Store) -> None:
    tags = {store.write("key", data, Always()) for data in (b"one", b"two")}
    assert len(tags) == 2
    assert store.read("key").data == b"two"
    store.delete("key")
    store.delete("key")
    with pytest.raises(NotFound):
        store.read("key")


@pytest.mark.parametrize("act", [lambda store: store.read("a/b"), lambda store: fetched(store, "a/b")])
def test_what_is_not_there_is_absent_and_named(store: Store, act: Callable[[Store], object]) -> None:
    with pytest.raises(NotFound, match=r"a/b"):
        act(store)
    store.write("a/b/c", b"", Always())
    with pytest.raises(NotFound, match=r"a/b"):
        act(store)


@pytest.mark.parametrize("key", ["../outside", "a/../../outside", "/etc/outside", "a//outside", "./outside", "a/"])
def test_a_key_that_looks_like_a_way_out_is_none(store: Store, tmp_path: Path, key: str) -> None:
    """It is refused, or it is an object's name like any other."""
    try:
        store.write(key, b"data", Always())
    except Invalid:
        for act in (store.read, store.delete):
            with pytest.raises(Invalid):
                act(key)
        assert keys_of(store) == []
    else:
        assert (store.read(key).data, keys_of(store)) == (b"data", [key])
    assert list(tmp_path.rglob("*outside")) == []


def test_modification_times_and_the_clock_are_the_stores_own(store: Store) -> None:
    before = store.clock()
    store.write("key", b"data", Always())
    modified_at = store.read("key").modified_at
    (entry,) = store.scan("")
    after = store.clock()
    # S3 tells whole seconds, in its answers and its listings alike.
    second = timedelta(seconds=1)
    assert before - second <= modified_at <= after + second
    assert abs(entry.modified_at - modified_at) <= second
    assert {moment.tzinfo for moment in (before, modified_at, entry.modified_at)} == {UTC}


def test_the_clock_never_goes_back(store: Store) -> None:
    moments = []
    for _ in range(20):
        moments.append(store.clock())
        store.write("key", b"data", Always())
    assert moments == sorted(moments)


# ---- conditions


def test_an_object_is_created_once(store: Store) -> None:
    tag = store.write("key", b"first", IfAbsent())
    with pytest.raises(Conflict, match="key"):
        store.write("key", b"second", IfAbsent())
    assert (store.read("key").data, store.read("key").tag) == (b"first", tag)
    store.delete("key")
    store.write("key", b"third", IfAbsent())


def test_an_object_is_replaced_only_with_its_present_tag(store: Store) -> None:
    first = store.write("key", b"first", Always())
    second = store.write("key", b"second", IfTag(first))
    for tag in (first, '"00000000000000000000000000000000"', "no tag"):
        with pytest.raises(Conflict, match="key"):
            store.write("key", b"third", IfTag(tag))
    assert (store.read("key").data, store.read("key").tag) == (b"second", second)


def test_an_object_that_is_gone_is_not_replaced(store: Store) -> None:
    tag = store.write("key", b"first", Always())
    store.delete("key")
    with pytest.raises(NotFound, match="key"):
        store.write("key", b"second", IfTag(tag))
    assert keys_of(store) == []


def test_the_tag_of_a_listing_serves_for_replacing(store: Store) -> None:
    store.write("key", b"first", Always())
    (entry,) = store.scan("key")
    assert store.read("key").tag == entry.tag
    store.write("key", b"second", IfTag(entry.tag))


def test_of_many_who_create_at_once_exactly_one_wins(node: StoreMaker) -> None:
    stores = [node() for _ in range(8)]
    for number in range(10):
        jobs = [partial(each.write, f"race/{number}", b"%d" % index, IfAbsent()) for index, each in enumerate(stores)]
        results = run_together(jobs)
        winners = [index for index, result in enumerate(results) if isinstance(result, str)]
        assert len(winners) == 1, results
        assert [type(result) for result in results if isinstance(result, AgentError)] == [Conflict] * 7
        assert stores[0].read(f"race/{number}").data == b"%d" % winners[0]


def test_of_many_who_count_at_once_no_count_is_lost(node: StoreMaker) -> None:
    node().write("count", b"0", Always())

    def count(store: Store) -> None:
        done = 0
        while done < 5:
            stored = store.read("count")
            with suppress(Conflict):
                store.write("count", b"%d" % (int(stored.data) + 1), IfTag(stored.tag))
                done += 1

    assert run_together([partial(count, node()) for _ in range(8)]) == [None] * 8
    assert node().read("count").data == b"40"


def test_nobody_reads_a_mixture_of_two_writes(node: StoreMaker) -> None:
    bodies = [bytes([index]) * 300_000 for index in range(4)]

    def write(store: Store, body: bytes) -> None:
        for _ in range(5):
            store.write("key", body, Always())
            assert store.read("key").data in bodies

    assert run_together([partial(write, node(), body) for body in bodies]) == [None] * 4


def test_one_store_serves_many_threads(store: Store) -> None:
    def work(index: int) -> list[str]:
        for number in range(5):
            store.write(f"thread-{index}/{number}", b"%d" % index, IfAbsent())
        assert store.read(f"thread-{index}/0").data == b"%d" % index
        return keys_of(store, f"thread-{index}/")

    results = run_together([partial(work, index) for index in range(16)])
    assert results == [[f"thread-{index}/{number}" for number in range(5)] for index in range(16)]


# ---- listing


def test_a_listing_is_in_order_of_code_points(store: Store) -> None:
    keys = ["B", "a!", "a-b", "a.b", "a/b/c", "a/ü", "a0", "ab", "é", "\ufb01", "\U0001f418"]
    for key in reversed(keys):
        store.write(key, b"", Always())
    assert keys_of(store) == sorted(keys)
    assert keys_of(store, "a") == [key for key in sorted(keys) if key.startswith("a")]
    assert keys_of(store, "a/") == ["a/b/c", "a/ü"]
    for after in (*keys, "", "A", "a/b/", "a/zzz", "\U0010ffff"):
        assert keys_of(store, "", after) == [key for key in sorted(keys) if key > after], after
        assert keys_of(store, "a/", after) == [key for key in ("a/b/c", "a/ü") if key > after], after


def test_a_listing_tells_size_and_tag(store: Store) -> None:
    tags = {key: store.write(key, b"x" * size, Always()) for size, key in enumerate(("a", "b", "c"))}
    assert [(entry.key, entry.size, entry.tag) for entry in store.scan("")] == [
        (key, size, tags[key]) for size, key in enumerate(("a", "b", "c"))
    ]


def test_an_empty_store_lists_nothing(store: Store) -> None:
    assert keys_of(store) == []
    assert keys_of(store, "no/such/folder/") == []
    assert keys_of(store, "no", "z") == []


def test_a_survey_finds_all_that_lies_below_several_prefixes_and_nothing_else(store: Store) -> None:
    for key in ("ca/1", "certs/a", "certs/b/c", "certs.old", "clients/1", "config.yml", "config.yml.old", "files/1"):
        store.write(key, b"", Always())
    found = sorted(entry.key for entry in store.survey(("certs/", "config.yml", "packages/")))
    assert found == ["certs/a", "certs/b/c", "config.yml", "config.yml.old"]


def test_a_long_listing_is_whole(store: Store) -> None:
    keys = [f"many/{number:04d}" for number in range(1100)]

    def write(part: int) -> None:
        for key in keys[part::8]:
            store.write(key, b"", Always())

    assert run_together([partial(write, part) for part in range(8)]) == [None] * 8
    assert keys_of(store, "many/") == keys
    assert keys_of(store, "many/", "many/0050") == keys[51:]


# ---- unreachable is not absent


def closed_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def unreachable_s3(tmp_path: Path) -> Store:
    location = S3Location("bucket", "", f"http://127.0.0.1:{closed_port()}", "us-east-1", path_style=True)
    return S3Store(location, ("key", "secret"))


def unreachable_memory(tmp_path: Path) -> Store:
    store = MemoryStore()
    store.failing = Unreachable("no answer")
    return store


GONE: dict[str, Callable[[Path], Store]] = {
    "s3": unreachable_s3,
    "directory": lambda tmp_path: DirectoryStore(tmp_path / "not mounted"),
    "memory": unreachable_memory,
}
ACTS: dict[str, Callable[[Store], object]] = {
    "read": lambda store: store.read("key"),
    "fetch": lambda store: store.fetch("key", bytes),
    "write": lambda store: store.write("key", b"", Always()),
    "create": lambda store: store.write("key", b"", IfAbsent()),
    "swap": lambda store: store.write("key", b"", IfTag("tag")),
    "scan": lambda store: list(store.scan("")),
    "delete": lambda store: store.delete("key"),
    "clock": lambda store: store.clock(),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("kind", GONE)
def test_a_store_that_cannot_be_reached_is_neither_empty_nor_absent(tmp_path: Path, kind: str, act: str) -> None:
    with pytest.raises(Unreachable) as unreachable:
        ACTS[act](GONE[kind](tmp_path))
    assert not isinstance(unreachable.value, OutcomeUnknown), "nothing was sent"


# ---- what a store is called


def test_a_store_has_one_name_and_identity_for_all_nodes(node: StoreMaker) -> None:
    assert node().name == node().name
    assert node().identity == node().identity
    assert "://" in node().name


def test_what_is_larger_than_any_record_is_streamed_and_never_held(store: Store) -> None:
    store.write("largest", b"x" * limits.RECORD, Always())
    store.write("larger", b"x" * (limits.RECORD + 1), Always())
    assert len(store.read("largest").data) == limits.RECORD
    with pytest.raises(Corrupt, match=r"cannot read larger in .*: it has more than 16777216 bytes"):
        store.read("larger")
    sizes = list[int]()
    store.fetch("larger", lambda chunk: sizes.append(len(chunk)))
    assert sum(sizes) == limits.RECORD + 1
    # It can be replaced, if it is still the one that was listed.
    (tag,) = (entry.tag for entry in store.scan("larger"))
    with pytest.raises(Conflict):
        store.write("larger", b"small", IfTag("another"))
    store.write("larger", b"small", IfTag(tag))
    assert store.read("larger").data == b"small"
