"""Each kind of key for the store, on a server that enforces policies: what docs/security.md says is what it may do."""

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from da_agent.adapters.s3_store import Patience, S3Store
from da_agent.domain.store.locations import S3Location
from da_agent.ports import Always
from tests import servers, trust
from tests.servers import S3Server
from tests.trust import AREAS, FILES, POLICIES, VERBS, Deed

NAMES = tuple(sorted(path.stem for path in POLICIES.glob("*.json")))
PREFIX = "clusters/one/"
MIB = 1024 * 1024

Act = Callable[[], object]


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with servers.ministack() as running:
        yield running


class Keys:
    """A bucket with a store below `prefix`, and a key for each policy."""

    def __init__(self, server: S3Server, prefix: str) -> None:
        self.server = server
        self.prefix = prefix
        self.location: S3Location = server.bucket(prefix.rstrip("/"))
        self.keys = {
            name: server.user(f"{name}-{self.location.bucket}", trust.policy(name, self.location.bucket, prefix))
            for name in NAMES
        }
        self.clients = {name: server.client(key) for name, key in self.keys.items()}

    def path(self, area: str, name: str) -> str:
        """An object of an area. docassemble's own files are not below the prefix of the store."""
        return trust.key_in(area) if name == "application" else self.prefix + trust.key_in(area)

    def may(self, name: str, deed: Deed, key: str) -> bool:
        client, bucket = self.clients[name], self.location.bucket
        acts: dict[str, Act] = {
            "reads": lambda: client.get_object(Bucket=bucket, Key=key),
            "writes": lambda: client.put_object(Bucket=bucket, Key=key, Body=b""),
            "deletes": lambda: client.delete_object(Bucket=bucket, Key=key),
        }
        return allowed(acts[deed.verb])

    def may_list(self, name: str, prefix: str) -> bool:
        client = self.clients[name]
        return allowed(lambda: client.list_objects_v2(Bucket=self.location.bucket, Prefix=prefix))


@pytest.fixture(scope="module", params=["", PREFIX], ids=["the whole bucket", "below a prefix"])
def keys(server: S3Server, request: pytest.FixtureRequest) -> Keys:
    return Keys(server, request.param)


def allowed(act: Act) -> bool:
    try:
        act()
    except ClientError as error:
        if error.response["Error"]["Code"] == "AccessDenied":
            return False
        if error.response["Error"]["Code"] != "NoSuchKey":
            raise
    return True


def test_the_page_names_every_policy() -> None:
    assert sorted(trust.commands()) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_policy_fits_into_what_amazon_takes(name: str) -> None:
    """6,144 characters without white space: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""
    text = trust.policy(name, "b" * 63, "p" * 100 + "/")
    assert len(json.dumps(json.loads(text), separators=(",", ":"))) <= 6144


@pytest.mark.parametrize("name", NAMES)
def test_a_key_may_do_what_the_page_says_and_nothing_else(keys: Keys, name: str) -> None:
    every = [Deed(verb, area) for area in AREAS for verb in VERBS]
    done = {deed for deed in every if keys.may(name, deed, keys.path(deed.area, name))}
    assert done == trust.deeds_of(name)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "application"])
def test_no_key_of_ours_reaches_the_files_of_the_application_or_another_store(keys: Keys, name: str) -> None:
    others = [f"{FILES}x", "clusters/two/config.yml", "clusters/two/.agent/releases/0000000001.json", "other"]
    every = [(verb, key) for key in others for verb in VERBS]
    assert [(verb, key) for verb, key in every if keys.may(name, Deed(verb, ""), key)] == []


def test_the_key_of_the_application_reaches_its_files_alone(keys: Keys) -> None:
    areas = [area for area in AREAS if area != FILES]
    every = [(verb, keys.prefix + trust.key_in(area)) for area in areas for verb in VERBS]
    assert [(verb, key) for verb, key in every if keys.may("application", Deed(verb, ""), key)] == []


@pytest.mark.parametrize("name", NAMES)
def test_no_key_lists_the_whole_bucket_or_what_it_may_not_read(keys: Keys, name: str) -> None:
    theirs = ("", "f", "clusters/", "clusters/two/", f"{keys.prefix}files/")
    forbidden = {
        prefix for prefix in (*theirs, FILES) if prefix not in (keys.prefix, keys.prefix + FILES) or not prefix
    }
    if name == "application":
        forbidden = forbidden - {FILES} | {keys.prefix + ".agent/", keys.prefix + "c", keys.prefix + "packages/"}
        assert keys.may_list(name, FILES)
    assert [prefix for prefix in sorted(forbidden) if keys.may_list(name, prefix)] == []


@pytest.mark.parametrize("name", NAMES)
def test_no_key_changes_the_bucket_or_its_rules(keys: Keys, name: str) -> None:
    client, bucket = keys.clients[name], keys.location.bucket
    acts: tuple[Act, ...] = (
        lambda: client.get_bucket_policy(Bucket=bucket),
        lambda: client.put_bucket_policy(Bucket=bucket, Policy="{}"),
        lambda: client.delete_bucket(Bucket=bucket),
        client.list_buckets,
        lambda: client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"}),
        lambda: client.list_object_versions(Bucket=bucket),
        lambda: client.put_object_acl(Bucket=bucket, Key=f"{keys.prefix}config.yml", ACL="public-read"),
    )
    assert [number for number, act in enumerate(acts) if allowed(act)] == []


@pytest.mark.parametrize("name", ["node", "publisher", "admin"])
def test_a_large_blob_is_uploaded_in_parts(keys: Keys, name: str, tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    blob.write_bytes(bytes(6 * MIB))
    store = S3Store(keys.location, keys.keys[name], Patience(whole=MIB, part=5 * MIB))
    assert store.write(".agent/blobs/sha256/00/large", blob, Always())


def test_other_tools_change_the_inbox_with_the_key_of_an_uploader(keys: Keys, tmp_path: Path) -> None:
    config = tmp_path / "s3cfg"
    key, secret = keys.keys["uploader"]
    host = keys.server.endpoint_url.removeprefix("http://")
    config.write_text(
        f"[default]\naccess_key = {key}\nsecret_key = {secret}\nhost_base = {host}\nhost_bucket = {host}\n"
        "use_https = False\nbucket_location = us-east-1\n"
    )

    def s3cmd(*arguments: str) -> int:
        command = ("s3cmd", "-c", str(config), *arguments)
        return subprocess.run(command, check=False).returncode

    (tmp_path / "docassemble.crt").write_text("certificate")
    url = f"s3://{keys.location.bucket}/{keys.prefix}"
    assert s3cmd("put", str(tmp_path / "docassemble.crt"), f"{url}certs/docassemble.crt") == 0
    assert s3cmd("ls", f"{url}certs/") == 0
    assert s3cmd("del", f"{url}certs/docassemble.crt") == 0
    assert s3cmd("put", str(tmp_path / "docassemble.crt"), f"{url}.agent/releases/0000000001.json") != 0
    assert s3cmd("ls", f"{url}.agent/") != 0


def test_docassemble_works_with_the_key_of_the_application(keys: Keys, tmp_path: Path) -> None:
    """The requests of docassemble.base.amazon: upload, look, list, download, delete."""
    client, bucket, name = keys.clients["application"], keys.location.bucket, "files/000/000/001/x.pdf"
    large = tmp_path / "x.pdf"
    large.write_bytes(bytes(9 * MIB))
    client.upload_file(str(large), bucket, name, ExtraArgs={"ContentType": "application/pdf"})
    assert client.head_object(Bucket=bucket, Key=name)["ContentLength"] == 9 * MIB
    found = client.list_objects_v2(Bucket=bucket, Prefix="files/000/000/001/", Delimiter="/")
    assert [each["Key"] for each in found["Contents"]] == [name]
    with tempfile.TemporaryFile() as file:
        client.download_fileobj(bucket, name, file)
    client.delete_object(Bucket=bucket, Key=name)
