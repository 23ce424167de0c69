"""What becomes of everything that S3 and the network between can answer."""

from datetime import timedelta
from pathlib import Path

import pytest

from da_agent.adapters.s3_store import Patience
from da_agent.errors import (
    AgentError,
    Conflict,
    Forbidden,
    NodeBroken,
    NotFound,
    OutcomeUnknown,
    StoreUnfit,
    Unreachable,
)
from da_agent.ports import Always, IfAbsent, IfTag, Store
from tests.scripted_s3 import ACTS, CLOSED, CONDITIONAL, NEVER, NOW, PATIENT, READING, answer, error, listing, scripted

DONE = answer("200 OK", b"", 'ETag: "new"')
OURS = answer("200 OK", b"body", 'ETag: "new"')
OTHERS = answer("200 OK", b"other", 'ETag: "other"')
UNCHANGED = answer("200 OK", b"other", 'ETag: "old"')
GONE = error("404 Not Found", "NoSuchKey")
CONFLICT = error("409 Conflict", "ConditionalRequestConflict")
TOO_LATE = error("412 Precondition Failed", "PreconditionFailed")
BROKEN = error("500 Internal Server Error", "InternalError")
PAGE = answer("404 Not Found", b"<html><body>nothing here</body></html>", "Content-Type: text/html")


@pytest.mark.parametrize("act", CONDITIONAL)
@pytest.mark.parametrize(
    "reply", [BROKEN, error("503 Slow Down", "SlowDown"), CLOSED, b"HTTP/1.1 200", NEVER], ids=lambda reply: reply[:15]
)
def test_a_conditional_write_without_a_clear_answer_is_doubtful_and_not_repeated(act: str, reply: bytes) -> None:
    patience = Patience(read=0.5 if reply == NEVER else 20)
    closing = reply if reply in (CLOSED, NEVER) or len(reply) > 50 else reply + b"Connection: close"
    with scripted(closing) as script, pytest.raises(OutcomeUnknown, match="cannot write a/key in the store s3://shop"):
        CONDITIONAL[act](script.store(patience))
    assert script.requests == ["PUT /shop/a/key"]


@pytest.mark.parametrize("act", PATIENT)
def test_what_may_be_repeated_is_repeated_until_it_is_answered(act: str) -> None:
    reply = {"read": OTHERS, "fetch": OTHERS, "scan": listing("a/key"), "write": DONE, "delete": answer("204 No")}
    with scripted(BROKEN, CLOSED, reply[act]) as script:
        PATIENT[act](script.store())
    assert len(script.requests) == 3


@pytest.mark.parametrize("act", PATIENT)
@pytest.mark.parametrize(
    "reply", [BROKEN, error("503 Slow Down", "SlowDown"), CLOSED, PAGE], ids=lambda reply: reply[9:20]
)
def test_a_store_that_fails_is_unreachable(act: str, reply: bytes) -> None:
    with scripted(reply) as script, pytest.raises(Unreachable) as unreachable:
        PATIENT[act](script.store())
    assert not isinstance(unreachable.value, OutcomeUnknown)


@pytest.mark.parametrize("act", CONDITIONAL)
def test_a_page_of_some_proxy_is_no_answer_of_the_store(act: str) -> None:
    with scripted(PAGE) as script, pytest.raises(Unreachable):
        CONDITIONAL[act](script.store())


@pytest.mark.parametrize("act", ACTS)
def test_a_store_that_does_not_know_the_operation_is_unfit(act: str) -> None:
    with scripted(error("501 Not Implemented", "NotImplemented")) as script, pytest.raises(StoreUnfit):
        ACTS[act](script.store())


@pytest.mark.parametrize("act", ["read", "fetch"])
@pytest.mark.parametrize(
    "cut",
    [
        OTHERS.replace(b"Length: 5", b"Length: 9").replace(b"Date:", b"Connection: close\r\nDate:"),
        OTHERS.replace(b"Content-Length: 5", b"Transfer-Encoding: chunked\r\nConnection: close").replace(
            b"other", b"9\r\nother"
        ),
    ],
    ids=["with a length", "in chunks"],
)
def test_half_a_body_is_unreachable_and_never_a_short_object(act: str, cut: bytes) -> None:
    with scripted(cut) as script, pytest.raises(Unreachable, match="cannot read a/key"):
        READING[act](script.store())


@pytest.mark.parametrize("act", ["read", "fetch"])
def test_a_body_that_stops_coming_is_unreachable(act: str) -> None:
    stuck = OTHERS.replace(b"Length: 5", b"Length: 9")
    with scripted(stuck) as script, pytest.raises(Unreachable, match="cannot read a/key"):
        READING[act](script.store(Patience(read=0.3)))


# ---- resuming

BODY = bytes(range(256)) * 1024
FIRST, SECOND = BODY[: 80 * 1024], BODY[80 * 1024 : 160 * 1024]


def whole(body: bytes = BODY, *headers: str, cut: int | None = None, status: str = "200 OK") -> bytes:
    """An answer with all of `body`, of which only the first `cut` bytes come before the connection ends."""
    reply = answer(status, body, 'ETag: "one"', *headers)
    return (
        reply if cut is None else reply[: len(reply) - len(body) + cut].replace(b"Date:", b"Connection: close\r\nDate:")
    )


def part(start: int, cut: int | None = None) -> bytes:
    told = f"Content-Range: bytes {start}-{len(BODY) - 1}/{len(BODY)}"
    return whole(BODY[start:], told, cut=cut, status="206 Partial Content")


def fetched(store: Store, start: int = 0) -> bytes:
    body = bytearray()
    store.fetch("a/key", body.extend, start)
    return bytes(body)


def test_a_body_that_is_cut_goes_on_where_it_stopped_with_the_same_object() -> None:
    second = len(FIRST) + len(SECOND)
    with scripted(whole(cut=len(FIRST)), part(len(FIRST), len(SECOND)), part(second)) as script:
        assert fetched(script.store()) == BODY
    assert [headers.get("range") for headers in script.headers] == [None, f"bytes={len(FIRST)}-", f"bytes={second}-"]
    assert [headers.get("if-match") for headers in script.headers] == [None, '"one"', '"one"']


def test_a_store_that_knows_no_ranges_sends_everything_and_nothing_is_doubled() -> None:
    with scripted(whole(cut=len(FIRST)), whole()) as script:
        assert fetched(script.store()) == BODY
        assert fetched(script.store(), 70_000) == BODY[70_000:]
        assert fetched(script.store(), len(BODY) + 1) == b""


def test_another_object_is_never_joined_to_the_first_part_of_one() -> None:
    with (
        scripted(whole(cut=len(FIRST)), TOO_LATE) as script,
        pytest.raises(Conflict, match="replaced while it was read"),
    ):
        fetched(script.store())


def test_another_range_than_the_one_asked_for_is_no_answer() -> None:
    with scripted(part(5)) as script, pytest.raises(Unreachable, match="from 7 on, it sent 'bytes 5-"):
        fetched(script.store(), 7)


def test_a_store_that_is_cut_off_again_and_again_after_a_few_bytes_is_unreachable() -> None:
    with scripted(whole(cut=100)) as script, pytest.raises(Unreachable, match="cannot read a/key"):
        fetched(script.store())
    assert len(script.requests) == 1


def test_a_store_that_sends_byte_by_byte_is_told_from_one_that_is_only_slow() -> None:
    patience = Patience(pace=0.2)
    with scripted(whole(), pause=0.01) as script:
        script.portion = 8192
        assert fetched(script.store(patience)) == BODY
        script.portion = 16
        with pytest.raises(Unreachable, match="less than 32 KiB arrived"):
            fetched(script.store(patience))


CONFLICTS: dict[str, tuple[str, list[bytes], type[AgentError] | None]] = {
    "nothing is there, and then it works": ("create", [CONFLICT, GONE, DONE], None),
    "somebody else was first": ("create", [CONFLICT, OTHERS], Conflict),
    "what is there may be ours": ("create", [CONFLICT, OURS], OutcomeUnknown),
    "somebody else is first the second time": ("create", [CONFLICT, GONE, TOO_LATE, OTHERS], Conflict),
    "our own first attempt is in the way": ("create", [CONFLICT, GONE, TOO_LATE, OURS], OutcomeUnknown),
    "nobody can tell": ("create", [CONFLICT, *[BROKEN] * 3], OutcomeUnknown),
    "it never ends": ("create", [CONFLICT, *[GONE, CONFLICT] * 4], OutcomeUnknown),
    "the tag is still the same, and then it works": ("swap", [CONFLICT, UNCHANGED, DONE], None),
    "somebody else has swapped": ("swap", [CONFLICT, OTHERS], Conflict),
    "our own swap may have happened": ("swap", [CONFLICT, OURS], OutcomeUnknown),
    "it is gone": ("swap", [CONFLICT, GONE], NotFound),
}


@pytest.mark.parametrize("story", CONFLICTS)
def test_after_a_conflict_the_store_is_read_again(story: str) -> None:
    act, answers, expected = CONFLICTS[story]
    with scripted(*answers) as script:
        if expected is None:
            assert CONDITIONAL[act](script.store()) == '"new"'
        else:
            with pytest.raises(expected) as raised:
                CONDITIONAL[act](script.store())
            assert type(raised.value) is expected
    assert len(script.requests) == len(answers)


def test_a_conflict_of_another_kind_is_not_repeated_for_ever() -> None:
    with scripted(CONFLICT) as script, pytest.raises(Unreachable, match="409"):
        script.store().write("a/key", b"body", Always())


def test_conditions_and_encryption_are_sent_and_check_sums_are_not(tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"body")
    with scripted(DONE) as script:
        store = script.store(server_side_encryption="aws:kms", kms_key_id="key-1")
        store.write("a", b"body", IfAbsent())
        store.write("a", tmp_path / "body", IfTag('"old"'))
        store.write("a", b"body", Always())
    assert [headers.get("if-none-match") for headers in script.headers] == ["*", None, None]
    assert [headers.get("if-match") for headers in script.headers] == [None, '"old"', None]
    for headers in script.headers:
        assert headers["x-amz-server-side-encryption"] == "aws:kms"
        assert headers["x-amz-server-side-encryption-aws-kms-key-id"] == "key-1"
        assert headers["content-length"] == "4"
        assert not [name for name in headers if "checksum" in name or "trailer" in name]


START = answer("200 OK", b"<R><UploadId>upload-1</UploadId></R>")
REFUSED = error("403 Forbidden", "AccessDenied")


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([START, DONE, REFUSED, answer("204 No Content")], Forbidden),
        ([START, DONE, DONE, error("404 Not Found", "NoSuchUpload")], Unreachable),
        ([START, REFUSED, BROKEN], Forbidden),
    ],
)
def test_an_upload_that_fails_is_aborted_and_says_why(
    tmp_path: Path, answers: list[bytes], expected: type[AgentError]
) -> None:
    (tmp_path / "body").write_bytes(b"8 bytes.")
    with scripted(*answers) as script:
        store = script.store(Patience(whole=7, part=4), server_side_encryption="AES256")
        with pytest.raises(expected):
            store.write("a/key", tmp_path / "body", Always())
    assert script.headers[0]["x-amz-server-side-encryption"] == "AES256"
    assert script.requests[-1].startswith("DELETE /shop/a/key?uploadId=upload-1")


def test_a_store_that_gives_no_tag_is_unfit() -> None:
    with scripted(answer("200 OK")) as script, pytest.raises(StoreUnfit, match="no ETag"):
        script.store().write("a/key", b"body", Always())


# ---- listings


@pytest.mark.parametrize(
    "pages",
    [
        [listing("b", "a")],
        [listing("a", "a")],
        [listing("a", "b", truncated=True)],
    ],
    ids=["another order", "twice", "the same page for ever"],
)
def test_a_store_that_does_not_list_in_order_is_unfit(pages: list[bytes]) -> None:
    with scripted(*pages) as script, pytest.raises(StoreUnfit, match="in order"):
        list(script.store().scan(""))


def test_a_listing_that_breaks_off_is_unreachable() -> None:
    pages = listing("a", truncated=True), listing(truncated=True)
    with scripted(*pages) as script, pytest.raises(Unreachable, match="is incomplete"):
        list(script.store().scan(""))


def test_a_listing_goes_on_behind_the_last_key() -> None:
    with scripted(listing("x/a", "x/b", truncated=True), listing("x/c")) as script:
        assert [entry.key for entry in script.store(prefix="x").scan("", "0")] == ["a", "b", "c"]
    assert "start-after=x%2F0" in script.requests[0]
    assert "start-after=x%2Fb" in script.requests[1]


# ---- the clock


def test_the_clock_is_that_of_the_newest_answer() -> None:
    with scripted(OTHERS, answer("204 No", date=NOW + timedelta(hours=1))) as script:
        store = script.store()
        store.read("key")
        assert timedelta() <= store.clock() - NOW < timedelta(seconds=30)
        store.delete("key")
        assert timedelta() <= store.clock() - NOW - timedelta(hours=1) < timedelta(seconds=30)
    assert len(script.requests) == 2


def test_the_clock_is_asked_for_when_no_answer_has_come_yet() -> None:
    with scripted(listing()) as script:
        assert timedelta() <= script.store().clock() - NOW < timedelta(seconds=30)
    assert len(script.requests) == 1


def test_the_clock_does_not_go_back_for_a_second_that_is_told_late() -> None:
    with scripted(OTHERS, answer("204 No", date=NOW - timedelta(seconds=1))) as script:
        store = script.store()
        store.read("key")
        before = store.clock()
        store.delete("key")
        assert store.clock() >= before


@pytest.mark.parametrize("reply", [answer("200 OK", date=None), answer("200 OK", b"", "Date: today", date=None)])
def test_a_store_without_a_date_has_no_clock(reply: bytes) -> None:
    with scripted(reply) as script, pytest.raises(Unreachable, match="has no header Date"):
        script.store().clock()


# ---- this machine


def test_a_body_that_cannot_be_read_is_this_nodes_fault(tmp_path: Path) -> None:
    with scripted(DONE) as script:
        for when in (Always(), IfAbsent(), IfTag("tag")):
            with pytest.raises(NodeBroken, match="no such file"):
                script.store().write("key", tmp_path / "no such file", when)
    assert script.requests == []
