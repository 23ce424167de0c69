"""Many objects' bytes without the client's layers: the same questions, and the client where it is not that simple."""

import pytest

from da_agent.adapters.s3_store import S3Store
from da_agent.errors import Conflict, Forbidden, NotFound
from da_agent.ports import Always
from tests import servers
from tests.scripted_s3 import CLOSED, answer, error, scripted

FIRST = answer("200 OK", b"first", 'ETag: "first"')
SECOND = answer("200 OK", b"second", 'ETag: "second"')
KEY = "a key/with+signs~&ü"


def fetched(store: S3Store, key: str = KEY) -> bytes:
    chunks: list[bytes] = []
    store.fetch(key, chunks.append)
    return b"".join(chunks)


def test_they_ask_for_the_same_object_with_the_same_signature_and_nothing_else() -> None:
    with scripted(FIRST, SECOND) as script:
        store = script.store(prefix="below/here")
        assert (fetched(store), fetched(store)) == (b"first", b"second")
    assert script.requests[0] == script.requests[1]
    by_client, straight = script.headers
    assert "amz-sdk-invocation-id" in by_client
    assert "amz-sdk-invocation-id" not in straight
    scopes = [headers["authorization"].split(",")[0] for headers in script.headers]
    assert scopes[0] == scopes[1]
    assert straight["x-amz-content-sha256"] == by_client["x-amz-content-sha256"]


@pytest.mark.parametrize("reply", [error("500 Internal Server Error", "InternalError"), CLOSED], ids=["500", "closed"])
def test_what_has_no_good_answer_is_asked_by_the_client_with_its_patience(reply: bytes) -> None:
    with scripted(FIRST, reply, reply, SECOND) as script:
        store = script.store()
        assert (fetched(store), fetched(store)) == (b"first", b"second")
    assert "amz-sdk-invocation-id" in script.headers[-1]


@pytest.mark.parametrize(
    ("reply", "raised"),
    [
        (error("404 Not Found", "NoSuchKey"), NotFound),
        (error("403 Forbidden", "AccessDenied"), Forbidden),
        (error("412 Precondition Failed", "PreconditionFailed"), Conflict),
    ],
    ids=["404", "403", "412"],
)
def test_what_the_store_refuses_is_told_as_the_client_tells_it(reply: bytes, raised: type[Exception]) -> None:
    with scripted(FIRST, reply) as script:
        store = script.store()
        fetched(store)
        with pytest.raises(raised):
            fetched(store)
    assert len(script.requests) == 3


def test_a_real_server_takes_their_signature_for_any_key_below_any_prefix() -> None:
    with servers.ministack() as server:
        store = S3Store(server.bucket("below/here"), server.credentials)
        keys = [KEY, "blobs/0123", "dots..in/..names", "per%cent/%2F"]
        asked: list[str] = []
        for key in keys:
            store.write(key, key.encode(), Always())
        fetched(store)
        store._clients.patient.meta.events.register("before-call.s3", lambda model, **_: asked.append(model.name))
        assert [fetched(store, key).decode() for key in keys] == keys
        assert asked == []
