"""Wheels as a changed compiler or another process would leave them: none is used."""

import io
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from da_agent.adapters.packaging import bytecode_writer, comparisons
from da_agent.domain import limits
from da_agent.errors import NodeBroken
from tests import packages

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
CACHED = f"__pycache__/shop.{sys.implementation.cache_tag}.pyc"
Members = dict[str, bytes]


@pytest.fixture
def given(tmp_path: Path) -> Path:
    files = {"data.bin": bytes(range(256)) * 999, "gone.pyc": b"sourceless"}
    return packages.wheel(tmp_path, "shop", "1.0", {"shop": "x = 1\n", "other": "y = 1\n"}, files=files)


def compiled(given: Path) -> bytes:
    made = io.BytesIO()
    with given.open("rb") as file:
        bytecode_writer.write(file, made)
    return made.getvalue()


def judge(given: Path, data: bytes) -> None:
    made = given.with_suffix(".made")
    made.write_bytes(data)
    comparisons.require_same(given, made, PYTHON)


def rewritten(data: bytes, change: Callable[[Members], object]) -> bytes:
    """The wheel with other members, and a RECORD that agrees."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    record = members.pop("shop-1.0.dist-info/RECORD")
    rows = [row for row in record.decode().splitlines() if row.split(",")[0] in members or "RECORD" in row]
    new = [name for name in members if name not in record.decode()]
    text = "\n".join([*rows, *(f"{name},," for name in new)])
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**members, "shop-1.0.dist-info/RECORD": text.encode()}.items():
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), content)
    return made.getvalue()


def test_what_was_only_compiled_is_used(given: Path) -> None:
    judge(given, compiled(given))
    comparisons.require_same(given, given, PYTHON)


def test_the_bytecode_that_a_wheel_itself_brings_is_replaced(tmp_path: Path) -> None:
    # As numpy does: the bytecode of its own build has another size.
    given = packages.wheel(tmp_path, "shop", "1.0", {"shop": "x = 1\n"}, files={CACHED: b"of another compiler"})
    judge(given, compiled(given))


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda members: members.update({"shop.py": b"x = 2\n"}), "has a changed shop.py"),
        (lambda members: members.update({"shop.py": b"x = 20\n"}), "has a member shop.py of 7 bytes"),
        (lambda members: members.update({CACHED: bytes(limits.BYTECODE + 1)}), "has a member __pycache__/shop"),
        (lambda members: members.update({"evil.pth": b"import os"}), "has a new evil.pth"),
        (lambda members: members.update({CACHED: members[CACHED.replace("shop", "other")]}), "not made of shop.py"),
        (lambda members: members.update({CACHED: b"\0" * 4 + members[CACHED][4:]}), "not made of shop.py"),
        # Python would compare this with the time of its source, which whoever writes the file can set.
        (lambda members: members.update({CACHED: members[CACHED][:4] + bytes(12)}), "not made of shop.py"),
        (lambda members: members.pop("data.bin"), "lacks data.bin"),
        (lambda members: members.update({"shop-1.0.dist-info/METADATA": b"Name: evil"}), "has a member shop-1.0"),
    ],
)
def test_a_wheel_with_another_difference_is_not_used(
    given: Path, change: Callable[[Members], object], wrong: str
) -> None:
    data = rewritten(compiled(given), change)
    with pytest.raises(NodeBroken, match=f"cannot use the compiled shop.*{wrong}.*another program may have changed it"):
        judge(given, data)


def test_no_two_readers_of_a_wheel_find_different_members(given: Path) -> None:
    """Some programs read a zip from its start and others the list at its end."""
    whole = compiled(given)
    hidden = io.BytesIO()
    with zipfile.ZipFile(hidden, "w") as archive:
        archive.writestr("evil.pth", "import evil")
    local = hidden.getvalue()[: archive.start_dir]
    with zipfile.ZipFile(io.BytesIO(whole), "a") as archive:
        start = archive.start_dir
    commented = io.BytesIO(whole)
    with zipfile.ZipFile(commented, "a") as archive:
        archive.comment = hidden.getvalue()
    for data, wrong in [
        (local + whole, "has other bytes before"),
        (whole[:start] + local + whole[start:], "has other bytes before|has bytes that belong to no member"),
        (commented.getvalue(), "has other bytes before|has bytes that belong to no member"),
        (whole[:14] + b"\1\2\3\4" + whole[18:], "has other bytes before"),
        (whole[: len(whole) // 2], "is damaged"),
        (b"", "is damaged"),
    ]:
        with pytest.raises(NodeBroken, match=wrong):
            judge(given, data)
