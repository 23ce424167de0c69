"""Where certificates come from when no release has them."""

from pathlib import Path

import pytest

from da_agent.domain.config import configurations
from da_agent.domain.config.documents import Section
from da_agent.domain.node import certificate_sources
from da_agent.domain.store.locations import DirectoryLocation, Location, S3Location, location_of
from da_agent.errors import Invalid

BUCKET = location_of("s3://cluster?endpoint_url=http://minio:9000&region=eu-central-1")
PREFIX = location_of("s3://cluster/one")
FOLDER = location_of("file:///srv/cluster")
SECTION = """\
s3:
  bucket: mine
  access_key_id: AKEY
  secret access key: hush
  region: eu-central-1
  endpoint_url: http://minio:9000
"""


def read(text: str) -> Section:
    return configurations.parse(b"a: 1\n" + text.encode()).root


@pytest.mark.parametrize(
    ("text", "store", "expected"),
    [
        ("", BUCKET, None),
        ("certs:\n", BUCKET, None),
        ("certs: /etc/letsencrypt/live/x\n", None, DirectoryLocation(Path("/etc/letsencrypt/live/x"))),
        ("certs: /etc/letsencrypt/live/x\n", BUCKET, DirectoryLocation(Path("/etc/letsencrypt/live/x"))),
        ("certs: /srv/cluster/certs/\n", FOLDER, None),
        ("certs: s3://cluster/certs\n", BUCKET, None),
        ("certs: s3://cluster/certs/\n", BUCKET, None),
        ("certs: s3://cluster/one/certs\n", PREFIX, None),
        ("certs: s3://cluster/certs\n", PREFIX, S3Location("cluster", "certs", None, None, path_style=False)),
        (
            "certs: s3://other/tls/ours\n",
            BUCKET,
            S3Location("other", "tls/ours", "http://minio:9000", "eu-central-1", path_style=True),
        ),
        ("certs: s3://other/tls?region=us-west-1\n", BUCKET, S3Location("other", "tls", None, "us-west-1", False)),
    ],
)
def test_the_setting_names_a_place_that_is_not_the_stores_own(
    text: str, store: Location | None, expected: Location | None
) -> None:
    assert certificate_sources.elsewhere(read(text), store) == expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("certs: certs\n", "must be an absolute path or s3://bucket/prefix"),
        ("certs: /srv/../etc\n", "must be an absolute path or s3://bucket/prefix"),
        ("certs: blob://account/container/certs\n", "must be an absolute path or s3://bucket/prefix"),
        ("certs: s3://other\n", "must have a prefix, as in s3://other/certs"),
        ("certs: s3://\n", '"certs" in config.yml: the store\'s URL names no bucket'),
    ],
)
def test_a_setting_that_names_no_place_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(Invalid) as refused:
        certificate_sources.elsewhere(read(text), BUCKET)
    assert sentence in str(refused.value)


def test_the_environment_names_the_store_before_the_section_does() -> None:
    root = read(SECTION)
    assert certificate_sources.home(root, {"DA_AGENT_STORE": "file:///srv/cluster"}) == FOLDER
    expected = S3Location("mine", "", "http://minio:9000", "eu-central-1", path_style=True)
    assert certificate_sources.home(root, {}) == expected
    assert certificate_sources.home(read("s3:\n  enable: false\n  bucket: mine\n"), {}) is None
    assert certificate_sources.home(read(""), {}) is None


def test_the_environments_credentials_come_before_the_sections() -> None:
    root = read(SECTION)
    assert certificate_sources.credentials(root, {}) == ("AKEY", "hush")
    assert certificate_sources.credentials(root, {"S3ACCESSKEY": "A", "S3SECRETACCESSKEY": "B"}) == ("A", "B")
    assert certificate_sources.credentials(read(""), {}) is None


@pytest.mark.parametrize(
    ("text", "found", "mistaken"),
    [("", True, False), ("certs: /x/y\n", False, False), ("certs: /x/y\n", True, True), ("certs: y\n", False, True)],
)
def test_certificates_in_the_store_and_a_setting_that_names_another_place_contradict_each_other(
    text: str, found: bool, mistaken: bool
) -> None:
    mistakes = certificate_sources.mistakes(read(text), BUCKET, found)
    assert bool(mistakes) is mistaken
