"""Stores that want the tag in If-Match without its quotes, and stores that only seem to."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress

import pytest

from da_agent.adapters.races import run_together
from da_agent.domain.store import keys
from da_agent.errors import Conflict
from da_agent.ports import Always, IfTag
from da_agent.workflows.upkeep.conformance import examine
from tests import scripted_s3
from tests.scripted_s3 import Bucket, serving


def quoted(sent: str, tag: str) -> bool:
    """As RFC 9110 says, and as Amazon does."""
    return sent == f'"{tag}"'


def bare(sent: str, tag: str) -> bool:
    """As Ceph's radosgw does, which compares the header as it is with a tag that has no quotes."""
    return sent == tag


def quotes_or_anything(sent: str, tag: str) -> bool:
    """A store that refuses quotes, and takes whatever has none for no condition."""
    return '"' not in sent


def never(sent: str, tag: str) -> bool:
    return False


def bucket(right: Callable[[str, str], bool]) -> AbstractContextManager[Bucket]:
    return serving(Bucket(right=right))


def sent_tags(script: Bucket) -> list[str]:
    return [headers["if-match"] for headers in script.headers if "if-match" in headers]


def test_a_store_that_wants_bare_tags_passes_every_check() -> None:
    with bucket(bare) as script:
        result = examine(script.store(), run_together, "nonce")
    assert [check for check in result.tried if not check.ok] == []
    assert result.fit
    assert script.objects == {}


def test_the_form_is_remembered_and_tried_once() -> None:
    with bucket(bare) as script:
        store = script.store()
        tag = store.write("a/key", b"0", Always())
        for number in range(1, 5):
            tag = store.write("a/key", f"{number}".encode(), IfTag(tag))
        assert store.read("a/key").data == b"4"
        with_quotes = [sent for sent in sent_tags(script) if '"' in sent]
        created = [request for request in script.requests if f"PUT /shop/{keys.CONFORMANCE}" in request]
    # The write that was refused and the one that asks; the scratch object is made, and written to with three tags.
    assert len(with_quotes) == 2
    assert len(created) == 4
    assert list(script.objects) == ["a/key"]


def test_a_tag_that_is_really_old_is_refused_in_both_forms() -> None:
    for right in (quoted, bare):
        with bucket(right) as script:
            store = script.store()
            old = store.write("a/key", b"first", Always())
            store.write("a/key", b"second", Always())
            for _ in range(3):
                with pytest.raises(Conflict):
                    store.write("a/key", b"third", IfTag(old))
            assert store.read("a/key").data == b"second"


def test_a_store_that_takes_quotes_is_never_sent_a_bare_tag_and_not_tried_once_it_took_one() -> None:
    with bucket(quoted) as script:
        store = script.store()
        tag = store.write("a/key", b"first", Always())
        store.write("a/key", b"second", IfTag(tag))
        with pytest.raises(Conflict):
            store.write("a/key", b"third", IfTag(tag))
        assert all(sent.startswith('"') for sent in sent_tags(script))
        assert not any(keys.CONFORMANCE in request for request in script.requests)


@pytest.mark.parametrize("right", [quotes_or_anything, never])
def test_a_store_that_refuses_quotes_and_checks_nothing_without_them_is_unfit(
    right: Callable[[str, str], bool],
) -> None:
    with bucket(right) as script:
        result = examine(script.store(), run_together, "nonce")
    assert not result.fit
    assert "it refuses a write whose condition holds" in result.verdict


def test_writers_that_find_out_at_once_lose_no_update() -> None:
    with bucket(bare) as script:
        store = script.store()
        store.write("a/count", b"0", Always())
        start = threading.Barrier(8)

        def count() -> None:
            start.wait()
            done = 0
            for _ in range(1000):
                if done == 5:
                    return
                there = store.read("a/count")
                with suppress(Conflict):
                    store.write("a/count", b"%d" % (int(there.data) + 1), IfTag(there.tag))
                    done += 1

        threads = [threading.Thread(target=count) for _ in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert store.read("a/count").data == b"40"


def test_without_an_answer_the_next_refused_write_asks_again() -> None:
    broken = scripted_s3.error("503 Slow Down", "SlowDown")

    class Faltering(Bucket):
        def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> bytes:
            if keys.CONFORMANCE in target and len(self.requests) < 3:
                return broken
            return super().answer(method, target, headers, body)

    with serving(Faltering(right=bare)) as script:
        store = script.store()
        tag = store.write("a/key", b"first", Always())
        with pytest.raises(Conflict):
            store.write("a/key", b"second", IfTag(tag))
        store.write("a/key", b"second", IfTag(tag))
        assert store.read("a/key").data == b"second"
