"""What may be written for a store's URL, and what docassemble's variables mean."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from da_agent.domain.store.locations import (
    DirectoryLocation,
    Location,
    S3Location,
    credentials_of,
    location_of,
    location_of_environment,
)
from da_agent.errors import Invalid

AMAZON = S3Location(bucket="shop", prefix="", endpoint_url=None, region=None, path_style=False)
MINIO = replace(AMAZON, endpoint_url="http://10.0.0.1:9000", path_style=True)

URLS: dict[str, Location] = {
    "s3://shop": AMAZON,
    "s3://shop/": AMAZON,
    "s3://shop/clusters/one/": replace(AMAZON, prefix="clusters/one"),
    "s3://shop/a%20b%3F%C3%BC": replace(AMAZON, prefix="a b?ü"),
    "s3://shop/a+b": replace(AMAZON, prefix="a+b"),
    "s3://shop?region=eu-central-1": replace(AMAZON, region="eu-central-1"),
    "s3://shop?endpoint_url=http://10.0.0.1:9000": MINIO,
    "s3://shop/x?endpoint_url=http%3A%2F%2F10.0.0.1%3A9000%2F&region=home": replace(MINIO, prefix="x", region="home"),
    "s3://shop?endpoint_url=http://[::1]:9000": replace(MINIO, endpoint_url="http://[::1]:9000"),
    "s3://shop?endpoint_url=https://s3.example.com&path_style=false": replace(
        AMAZON, endpoint_url="https://s3.example.com"
    ),
    "s3://shop?path_style=true": replace(AMAZON, path_style=True),
    "file:///srv/cluster": DirectoryLocation(Path("/srv/cluster")),
    "file://localhost/srv/cluster/": DirectoryLocation(Path("/srv/cluster")),
    "file:///srv/my%20cluster": DirectoryLocation(Path("/srv/my cluster")),
}


@pytest.mark.parametrize("url", URLS)
def test_a_url_names_a_place(url: str) -> None:
    assert location_of(url) == URLS[url]


MISTAKES = {
    "": "must begin with file:/// or s3://",
    "/srv/cluster": "must begin with file:/// or s3://",
    "https://shop.s3.amazonaws.com": "must begin with file:/// or s3://",
    "file://srv/cluster": "must name an absolute path",
    "file:///srv/../etc": "must name an absolute path without ..",
    "file:///": "a directory of its own",
    "file:///srv/%ff": "the path in the store's URL is not UTF-8 text",
    "file:///srv/%00": "characters in it that cannot be printed",
    "file:///srv?region=x": "a store in a directory has no parameters",
    "file:///srv#x": "must not have a # in it",
    "s3://": "names no bucket",
    "s3:///prefix": "names no bucket",
    "s3://bad bucket": "must be the name of a bucket",
    "s3://b/shop": "2 to 255 letters, digits",
    "s3://localhost:9000/shop": "must be the name of a bucket",
    "s3://shop/a/../b": "must not have empty parts, . or ..",
    "s3://shop/a//b": "must not have empty parts, . or ..",
    "s3://shop?regio=x": "unknown parameter 'regio' in the store's URL; known are endpoint_url, region, path_style",
    "s3://shop?region=a&region=b": "the parameter region is in the store's URL twice",
    "s3://shop?region=": "the parameter region in the store's URL has no value",
    "s3://shop?region": "the parameter region in the store's URL has no value",
    "s3://shop?region=eu_central": "region must be the name of a region",
    "s3://shop?path_style=perhaps": "path_style must be true or false",
    "s3://shop?endpoint_url=minio:9000": "endpoint_url must be an address such as",
    "s3://shop?endpoint_url=http://minio:99999": "endpoint_url must be an address such as",
}


@pytest.mark.parametrize("url", MISTAKES)
def test_a_mistake_in_a_url_is_named(url: str) -> None:
    with pytest.raises(Invalid) as refused:
        location_of(url)
    assert len(refused.value.mistakes) == 1
    assert MISTAKES[url] in refused.value.mistakes[0]


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(Invalid) as refused:
        location_of("s3://?region=a_b&path_style=2&speed=high")
    assert len(refused.value.mistakes) == 4


@pytest.mark.parametrize(
    "url",
    [
        "s3://AKIA:hushhush@shop",
        "s3://AKIA:hush/hush@shop",
        "s3://shop?secret_access_key=hushhush",
        "s3://shop?hushhush",
        "s3://shop?endpoint_url=http://AKIA:hushhush@minio:9000",
        "AKIA:hushhush@shop",
        "hushhush://shop",
    ],
)
def test_credentials_in_a_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(Invalid) as refused:
        location_of(url)
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("location", URLS.values())
def test_a_location_says_its_url(location: Location) -> None:
    assert location_of(location.url) == location
    assert str(location) == location.url


NAMES = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1).filter(
    lambda name: "/" not in name and name not in (".", "..")
)


@given(st.lists(NAMES, max_size=3), st.sampled_from([None, "http://[::1]:9000", "https://s3.example.com/a%20b"]))
def test_whatever_the_prefix_the_url_leads_back(names: list[str], endpoint_url: str | None) -> None:
    location = replace(AMAZON, prefix="/".join(names), endpoint_url=endpoint_url)
    assert location_of(location.url) == location


# ---- variables


def test_without_variables_there_is_no_store() -> None:
    assert location_of_environment({}) is None


def test_our_variable_wins() -> None:
    variables = {"DA_AGENT_STORE": "file:///srv/cluster", "S3BUCKET": "shop"}
    assert location_of_environment(variables) == DirectoryLocation(Path("/srv/cluster"))


@pytest.mark.parametrize("enable", ["", "true", "True", "yes", "1", "null"])
def test_a_named_bucket_is_the_store(enable: str) -> None:
    assert location_of_environment({"S3ENABLE": enable, "S3BUCKET": "shop", "S3REGION": ""}) == AMAZON


@pytest.mark.parametrize("variables", [{"S3ENABLE": "false", "S3BUCKET": "shop"}, {"S3BUCKET": ""}, {"S3REGION": "x"}])
def test_a_bucket_that_is_not_enabled_or_not_named_is_none(variables: dict[str, str]) -> None:
    assert location_of_environment(variables) is None


def test_region_and_endpoint_come_from_their_variables() -> None:
    variables = {"S3BUCKET": "shop", "S3ENDPOINTURL": "http://10.0.0.1:9000", "S3REGION": "home"}
    assert location_of_environment(variables) == replace(MINIO, region="home")


def test_mistakes_in_variables_are_named_at_once() -> None:
    variables = {
        "S3ENABLE": "perhaps",
        "S3ENDPOINTURL": "minio",
        "S3_SSE_ALGORITHM": "rot13",
        "S3_SSE_CUSTOMER_KEY": "hushhush",
    }
    with pytest.raises(Invalid) as refused:
        location_of_environment({**variables, "S3BUCKET": "no bucket"})
    named = [mistake.split()[0] for mistake in refused.value.mistakes]
    assert named == ["S3ENABLE", "S3BUCKET", "S3ENDPOINTURL", "S3_SSE_ALGORITHM", "S3_SSE_CUSTOMER_KEY"]
    assert "hush" not in str(refused.value)


def test_an_enabled_store_needs_a_bucket() -> None:
    with pytest.raises(Invalid, match="S3BUCKET does not name a bucket"):
        location_of_environment({"S3ENABLE": "true"})


@pytest.mark.parametrize("store", [{"S3BUCKET": "shop"}, {"DA_AGENT_STORE": "s3://shop"}])
def test_encryption_is_said_by_variables_however_the_bucket_is_named(store: dict[str, str]) -> None:
    plain = location_of_environment({**store, "S3_SSE_ALGORITHM": "AES256"})
    assert plain == replace(AMAZON, server_side_encryption="AES256")
    keyed = location_of_environment({**store, "S3_SSE_KMS_KEY_ID": "key-1"})
    assert keyed == replace(AMAZON, server_side_encryption="aws:kms", kms_key_id="key-1")


def test_credentials_come_in_pairs_or_not_at_all() -> None:
    assert credentials_of({"S3ACCESSKEY": "", "S3SECRETACCESSKEY": "null"}) is None
    assert credentials_of({"S3ACCESSKEY": "AKIA", "S3SECRETACCESSKEY": "hush/+"}) == ("AKIA", "hush/+")
    with pytest.raises(Invalid, match="S3SECRETACCESSKEY is missing"):
        credentials_of({"S3ACCESSKEY": "AKIA"})
    with pytest.raises(Invalid, match="S3ACCESSKEY is missing") as refused:
        credentials_of({"S3SECRETACCESSKEY": "hushhush"})
    assert "hush" not in str(refused.value)
