"""Does the agent get on with a real S3 server?"""

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import takewhile
from pathlib import Path

import pytest

from da_agent.adapters.s3_store import Patience, S3Store
from da_agent.domain.store.locations import S3Location
from da_agent.errors import Forbidden, Invalid, OutcomeUnknown, Unreachable
from da_agent.ports import Always, IfAbsent
from tests import servers
from tests.scripted_s3 import ACTS
from tests.servers import S3Server


@pytest.fixture(scope="module")
def ministack() -> Iterator[S3Server]:
    with servers.ministack() as server:
        yield server


@pytest.mark.parametrize("act", ACTS)
def test_a_wrong_secret_is_forbidden_and_said_where(ministack: S3Server, act: str) -> None:
    location = ministack.bucket()
    store = S3Store(location, (ministack.credentials[0], "wrong"))
    with pytest.raises(Forbidden, match=rf"a/key in the store s3://{location.bucket}.*SignatureDoesNotMatch") as error:
        ACTS[act](store)
    assert "wrong" not in str(error.value)
    assert "\n" not in str(error.value)


def test_whoever_may_only_read_is_forbidden_to_write(ministack: S3Server) -> None:
    location = ministack.bucket()
    S3Store(location, ministack.credentials).write("a/key", b"body", Always())
    store = S3Store(location, ministack.reader)
    assert store.read("a/key").data == b"body"
    for act in ("write", "create", "swap", "delete", "scan"):
        with pytest.raises(Forbidden, match=r"AccessDenied.*check the credentials and their rights"):
            ACTS[act](store)


@pytest.mark.parametrize("act", ACTS)
def test_a_missing_bucket_is_unreachable_and_never_an_absent_object(ministack: S3Server, act: str) -> None:
    location = replace(ministack.bucket(), bucket="no-such-bucket")
    with pytest.raises(Unreachable, match=r"NoSuchBucket .*create it, or correct the name") as error:
        ACTS[act](S3Store(location, ministack.credentials))
    assert not isinstance(error.value, OutcomeUnknown)


def test_what_lies_beside_the_prefix_belongs_to_others(ministack: S3Server) -> None:
    location = ministack.bucket("clusters/one")
    store = S3Store(location, ministack.credentials)
    S3Store(replace(location, prefix="clusters/one-more"), ministack.credentials).write("key", b"", Always())
    S3Store(replace(location, prefix="clusters"), ministack.credentials).write("one", b"", Always())
    assert list(store.scan("")) == []
    store.write("key", b"ours", Always())
    names = [each["Key"] for each in ministack.client().list_objects_v2(Bucket=location.bucket)["Contents"]]
    assert names == ["clusters/one", "clusters/one-more/key", "clusters/one/key"]


def test_marks_of_folders_and_names_that_are_none_are_not_listed(ministack: S3Server) -> None:
    location = ministack.bucket()
    for name in ("certs/", "certs//a", "certs/../b", "certs/c"):
        ministack.client().put_object(Bucket=location.bucket, Key=name, Body=b"")
    store = S3Store(location, ministack.credentials)
    assert [entry.key for entry in store.scan("certs/")] == ["certs/c"]


def test_many_parts_make_one_object_and_leave_nothing_behind(ministack: S3Server, tmp_path: Path) -> None:
    location = ministack.bucket()
    store = S3Store(location, ministack.credentials, Patience(whole=6 * 1024 * 1024, part=5 * 1024 * 1024))
    body = b"".join(bytes([number]) * 1024 * 1024 for number in range(12))
    (tmp_path / "body").write_bytes(body)
    tag = store.write("key", tmp_path / "body", Always())
    assert tag.endswith('-3"')
    assert (store.read("key").data, store.read("key").tag) == (body, tag)
    assert "Uploads" not in ministack.client().list_multipart_uploads(Bucket=location.bucket)


def test_uploads_that_nobody_ends_are_aborted_when_they_are_old_and_ours(ministack: S3Server, tmp_path: Path) -> None:
    location, client = ministack.bucket("shop"), ministack.client()
    for key in ("shop/.agent/blobs/dead", "shop/packages/big.whl", "other/.agent/blobs/dead"):
        client.create_multipart_upload(Bucket=location.bucket, Key=key)
    (tmp_path / "body").write_bytes(b"8 bytes.")

    def left(dead: timedelta) -> list[str]:
        S3Store(location, ministack.credentials, Patience(whole=7, dead=dead)).write("key", tmp_path / "body", Always())
        return sorted(each["Key"] for each in client.list_multipart_uploads(Bucket=location.bucket)["Uploads"])

    assert len(left(timedelta(days=1))) == 3, "they are young"
    assert left(timedelta(seconds=-60)) == ["other/.agent/blobs/dead", "shop/packages/big.whl"]


@pytest.mark.parametrize("act", ACTS)
def test_without_credentials_the_store_is_forbidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    store = S3Store(S3Location("shop", "", "http://127.0.0.1:9", "us-east-1", path_style=True))
    with pytest.raises(Forbidden, match=r"a/key in the store s3://shop.*set AWS_ACCESS_KEY_ID"):
        ACTS[act](store)


def test_credentials_are_found_where_boto3_looks_for_them(ministack: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ministack.environment().items():
        monkeypatch.setenv(name, value)
    S3Store(ministack.bucket()).write("key", b"body", IfAbsent())


def test_a_profile_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    with pytest.raises(Invalid, match="no-such-profile"):
        S3Store(S3Location("shop", "", None, None, path_style=False))


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_the_server_of_the_demo_says_how_to_reach_it_and_leaves_nothing_behind(
    tmp_path: Path, ending: signal.Signals
) -> None:
    script = Path(__file__).parents[2] / "scripts" / "s3-server"
    command = (sys.executable, str(script), str(tmp_path / "s3"))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            lines = takewhile(lambda line: line != "END=1\n", process.stdout)
            facts = dict(line.rstrip("\n").split("=", 1) for line in lines)
            location = S3Location(facts["BUCKET"], "", facts["ENDPOINT"], servers.REGION, path_style=True)
            store = S3Store(location, (facts["AWS_ACCESS_KEY_ID"], facts["AWS_SECRET_ACCESS_KEY"]))
            store.write("key", b"body", IfAbsent())
            assert store.read("key").data == b"body"
            assert len(list((tmp_path / "s3").iterdir())) == 1
        finally:
            process.send_signal(ending)
        assert process.wait(30) == 0
    with pytest.raises(Unreachable):
        store.read("key")
    assert list((tmp_path / "s3").iterdir()) == []


@pytest.mark.parametrize(
    ("region", "endpoint"),
    [
        ("eu-central-1", "https://s3.eu-central-1.amazonaws.com"),
        ("cn-north-1", "https://s3.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_without_an_endpoint_of_its_own_a_store_is_amazons(region: str, endpoint: str) -> None:
    store = S3Store(S3Location("shop", "", None, region, path_style=False), ("key", "secret"))
    assert store.identity == f"{endpoint}/shop"
