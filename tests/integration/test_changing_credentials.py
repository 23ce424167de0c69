"""Credentials that change while the agent runs: a refused request reads their source again."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from da_agent.adapters.s3_store import S3Store
from da_agent.errors import Forbidden
from da_agent.ports import Always
from tests import servers
from tests.scripted_s3 import ACTS, PATIENT, Script, answer, error, scripted
from tests.servers import S3Server

OLD, NEW = ("AKIDOLD", "old"), ("AKIDNEW", "new")


@dataclass(frozen=True, slots=True)
class Source:
    """The shared credentials file, and how many requests each key has signed."""

    path: Path

    def write(self, pair: tuple[str, str], token: str = "") -> None:
        extra = f"aws_session_token = {token}\n" if token else ""
        self.path.write_text(f"[default]\naws_access_key_id = {pair[0]}\naws_secret_access_key = {pair[1]}\n{extra}")


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return Source(tmp_path / "credentials")


@pytest.fixture(scope="module")
def ministack() -> Iterator[S3Server]:
    with servers.ministack() as server:
        yield server


def keys_of(script: Script) -> list[str]:
    return [each["authorization"].split("Credential=")[1].split("/")[0] for each in script.headers]


def store_of(script: Script) -> S3Store:
    return S3Store(script.store()._location)


REFUSALS = {
    "rotated": error("403 Forbidden", "InvalidAccessKeyId"),
    "signature": error("403 Forbidden", "SignatureDoesNotMatch"),
    "expired": error("400 Bad Request", "ExpiredToken"),
    "disabled": error("403 Forbidden", "AccessDenied"),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("act", ["read", "write", "create", "swap", "delete"])
def test_a_refused_request_is_made_again_with_what_the_file_has_by_now(
    source: Source, act: str, refusal: bytes
) -> None:
    source.write(OLD)
    with scripted(refusal, answer("200 OK", b"body" if act == "read" else b"", 'ETag: "new"')) as script:
        store = store_of(script)
        source.write(NEW)
        ACTS[act](store)
    assert keys_of(script) == ["AKIDOLD", "AKIDNEW"]


def test_a_new_token_alone_is_new_credentials(source: Source) -> None:
    source.write(OLD, "one")
    with scripted(REFUSALS["expired"], answer("200 OK", b"body", 'ETag: "new"')) as script:
        store = store_of(script)
        source.write(OLD, "two")
        store.read("a/key")
    assert [each["x-amz-security-token"] for each in script.headers] == ["one", "two"]


@pytest.mark.parametrize("act", ACTS)
def test_what_is_refused_with_the_same_credentials_is_not_asked_again(source: Source, act: str) -> None:
    source.write(OLD)
    with scripted(REFUSALS["rotated"]) as script:
        store = store_of(script)
        with pytest.raises(Forbidden):
            ACTS[act](store)
    assert keys_of(script) == ["AKIDOLD"]


@pytest.mark.parametrize("act", PATIENT)
def test_new_credentials_that_are_refused_too_are_the_last(source: Source, act: str) -> None:
    source.write(OLD)
    with scripted(REFUSALS["rotated"]) as script:
        store = store_of(script)
        source.write(NEW)
        with pytest.raises(Forbidden):
            PATIENT[act](store)
    assert keys_of(script) == ["AKIDOLD", "AKIDNEW"]


def test_a_file_that_is_written_just_now_leaves_the_refusal(source: Source) -> None:
    source.write(OLD)
    with scripted(REFUSALS["rotated"], REFUSALS["rotated"]) as script:
        store = store_of(script)
        source.path.write_text("[default\nhalf")
        with pytest.raises(Forbidden):
            store.read("a/key")
    assert keys_of(script) == ["AKIDOLD"]


def test_a_program_that_gives_credentials_is_asked_again(source: Source, tmp_path: Path) -> None:
    given = tmp_path / "given"
    program = f"import sys; print(open({str(given)!r}).read())"
    (tmp_path / "program.py").write_text(program)
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {sys.executable} {tmp_path / 'program.py'}\n")
    given.write_text('{"Version": 1, "AccessKeyId": "AKIDOLD", "SecretAccessKey": "old"}')
    with scripted(REFUSALS["rotated"], answer("200 OK", b"body", 'ETag: "new"')) as script:
        store = store_of(script)
        given.write_text('{"Version": 1, "AccessKeyId": "AKIDNEW", "SecretAccessKey": "new"}')
        store.read("a/key")
    assert keys_of(script) == ["AKIDOLD", "AKIDNEW"]


def test_a_key_that_is_rotated_under_many_threads_costs_no_request(source: Source, ministack: S3Server) -> None:
    """Bodies that are fetched without the client's layers, too: a real server refuses the old key."""
    old = ministack.new_key()
    source.write(old)
    store = S3Store(ministack.bucket())
    names = [f"a/{number}" for number in range(40)]
    for name in names:
        store.write(name, name.encode(), Always())
    assert fetched(store, names[0]) == names[0]
    source.write(ministack.new_key())
    ministack.drop_key(old)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda name: fetched(store, name), names)) == names
    store.write("a/key", b"body", Always())


def test_a_key_that_has_gone_is_forbidden_until_the_file_has_another(source: Source, ministack: S3Server) -> None:
    old = ministack.new_key()
    source.write(old)
    store = S3Store(ministack.bucket())
    store.write("a/key", b"body", Always())
    ministack.drop_key(old)
    with pytest.raises(Forbidden):
        store.read("a/key")
    source.write(ministack.new_key())
    eventually(lambda: store.read("a/key").data == b"body")


def eventually(check: Callable[[], bool]) -> None:
    """A source is not read more often than now and then."""
    ends = time.monotonic() + 60
    while True:
        try:
            assert check()
        except Forbidden:
            assert time.monotonic() < ends
            threading.Event().wait(0.1)
        else:
            return


def fetched(store: S3Store, key: str) -> str:
    chunks: list[bytes] = []
    store.fetch(key, chunks.append)
    return b"".join(chunks).decode()
