"""What a manifest may say about a wheel, before any of it reaches a lock file, an argument or a path."""

from dataclasses import replace

import pytest

from da_agent.domain import records
from da_agent.domain.packages.wheels import Target, Wheel
from da_agent.domain.release.releases import Release
from da_agent.domain.store.blobs import Blob
from da_agent.errors import Corrupt
from tests import stored

NORMAL = {"name": "shop", "version": "1.0", "filename": "shop-1.0-py3-none-any.whl"}
BLOB = Blob("0" * 64, 1)

ATTACKS = [
    ("name", "shop @ https://evil.example/shop.whl\nshop"),
    ("name", "-r/etc/passwd"),
    ("name", "Shop"),
    ("name", "shop[extra]"),
    ("name", "s" * 300),
    ("name", ""),
    ("version", "1.0\n--index-url=https://evil.example"),
    ("version", "-e."),
    ("version", "1.0 ; python_version > '0'"),
    ("filename", "../shop-1.0-py3-none-any.whl"),
    ("filename", "..-1.0-py3-none-any.whl"),
    ("filename", "shop-1.0-py3-none-any.whl --hash=sha256:0\nevil-1.0-py3-none-any.whl"),
    ("filename", "shop-1.0-py3-none-any.whl#egg=evil.whl"),
    ("filename", "shop-1.0-py3-none-any%2fevil.whl"),
    ("filename", "-rshop-1.0-py3-none-any.whl"),
    ("filename", "kiosk-1.0-py3-none-any.whl"),
    ("filename", "shop.whl"),
    ("filename", f"shop-1.0-py3-none-{'a' * 300}.whl"),
]


@pytest.mark.parametrize(("field", "text"), ATTACKS)
def test_a_manifest_cannot_bring_lines_options_or_paths_into_a_lock_file(field: str, text: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        Wheel(**{**NORMAL, field: text}, blob=BLOB)


@pytest.mark.parametrize(
    ("name", "version", "filename"),
    [
        ("docassemble-base", "1.4", "docassemble_base-1.4-py3-none-any.whl"),
        ("docassemble-base", "1.4", "docassemble.base-1.4-py3-none-any.whl"),
        ("six", "1!1.0.post1+deb.2", "six-1!1.0.post1+deb.2-1x-py2.py3-none-any.whl"),
        ("numpy", "2.0", "numpy-2.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"),
    ],
)
def test_what_wheels_are_really_called_is_accepted(name: str, version: str, filename: str) -> None:
    assert Wheel(name, version, filename, BLOB).filename == filename


@pytest.mark.parametrize(("python", "platform"), [("3.11/..", "x"), ("3", "x"), ("3.11", "../x"), ("3.11", "")])
def test_a_target_is_a_version_and_a_platform(python: str, platform: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        Target(python, platform)


def test_a_manifest_with_a_wrong_name_or_with_two_wheels_of_one_distribution_is_corrupt() -> None:
    made = records.encode(stored.RELEASE)
    evil = made.replace(b'"name": "shop"', b'"name": "shop @ https://evil.example/x.whl"')
    with pytest.raises(Corrupt, match="distribution's normalised name"):
        records.decode(Release, evil, "7.json")
    twice = records.encode(twins())
    with pytest.raises(Corrupt, match="two wheels of one distribution"):
        records.decode(Release, twice, "7.json")


def twins() -> Release:
    contents = stored.RELEASE.contents
    return replace(stored.RELEASE, contents=replace(contents, wheels=(*contents.wheels, *contents.wheels)))
