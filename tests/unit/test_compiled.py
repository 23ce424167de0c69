"""A compiled wheel is the wheel that went in with bytecode, and with nothing else."""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from da_agent.domain.packages.compiled import PackedFile, PackedWheel, cached, difference, rows

TAG = "cpython-311"
CACHED = "shop/__pycache__/__init__.cpython-311.pyc"


def member(name: str, content: str, head: str = "", mode: int = 0) -> PackedFile:
    digest = hashlib.sha256(content.encode()).digest()
    return PackedFile(name, digest, len(content), mode, head.encode())


def row(of: PackedFile) -> list[str]:
    digest = base64.urlsafe_b64encode(of.digest).rstrip(b"=").decode()
    return [of.name, f"sha256={digest}", str(of.size)]


RECORD = "shop-1.0.dist-info/RECORD"
SOURCE = member("shop/__init__.py", "x = 1", head="magic, hash of x = 1")
OTHER = member("shop/data.txt", "data")
OLD = member("shop/__pycache__/__init__.cpython-38.pyc", "of another Python")
BYTECODE = member(CACHED, "code of x = 1", head="magic, hash of x = 1")
GIVEN = PackedWheel(
    (SOURCE, OTHER, OLD, member(RECORD, "before")), RECORD, [row(SOURCE), row(OTHER), row(OLD), [RECORD, "", ""]]
)
MADE = PackedWheel(
    (SOURCE, BYTECODE, OTHER, member(RECORD, "after")),
    RECORD,
    [row(SOURCE), row(OTHER), [RECORD, "", ""], row(BYTECODE)],
)


def judged(made: PackedWheel) -> str | None:
    return difference(GIVEN, made, replaced=lambda name: "__pycache__" in name, tag=TAG)


def with_member(new: PackedFile) -> PackedWheel:
    """MADE with another member, which RECORD lists."""
    return replace(MADE, members=(*MADE.members, new), rows=[*MADE.rows, row(new)])


def changed(old: PackedFile, new: PackedFile) -> PackedWheel:
    members = [new if each == old else each for each in MADE.members]
    return replace(MADE, members=members, rows=[row(new) if each == row(old) else each for each in MADE.rows])


def without(old: PackedFile) -> PackedWheel:
    members = [each for each in MADE.members if each != old]
    return replace(MADE, members=members, rows=[each for each in MADE.rows if each != row(old)])


def test_bytecode_may_come_and_what_python_would_not_use_may_go() -> None:
    assert judged(MADE) is None
    assert judged(without(BYTECODE)) is None, "a template has no bytecode"


@pytest.mark.parametrize(
    ("made", "wrong"),
    [
        (lambda: changed(SOURCE, member(SOURCE.name, "x = 2")), "has a changed shop/__init__.py"),
        (lambda: changed(OTHER, replace(OTHER, mode=0o4755 << 16)), "has a changed shop/data.txt"),
        (lambda: without(OTHER), "lacks shop/data.txt"),
        (lambda: with_member(member("evil.pth", "import evil")), "has a new evil.pth, which is not the bytecode"),
        (lambda: with_member(member("shop/evil.py", "")), "has a new shop/evil.py, which is not the bytecode"),
        (lambda: with_member(member("shop/evil.pyc", "")), "has a new shop/evil.pyc, which is not the bytecode"),
        (lambda: with_member(member(cached("shop/evil.py", TAG), "")), "has a new shop/__pycache__/evil"),
        (lambda: with_member(member(cached(SOURCE.name, "cpython-312"), "")), "has a new shop/__pycache__/__init__"),
        (lambda: with_member(member("shop/__pycache__/data.so", "")), "has a new shop/__pycache__/data.so"),
        (lambda: with_member(SOURCE), "has two members of one name"),
        (
            lambda: changed(BYTECODE, replace(BYTECODE, head=b"magic, hash of another")),
            f"has bytecode in {CACHED} that was not made of shop/__init__.py",
        ),
        (lambda: replace(MADE, rows=MADE.rows[:-1]), "has a wrong RECORD"),
        (lambda: replace(MADE, rows=[*MADE.rows, ["../evil", "", ""]]), "has a wrong RECORD"),
        (lambda: replace(MADE, record=None), "has another RECORD"),
    ],
)
def test_any_other_difference_is_found(made: Callable[[], PackedWheel], wrong: str) -> None:
    assert str(judged(made())).startswith(wrong)


def test_a_record_is_a_table_of_text() -> None:
    assert rows(b'"a,b",sha256=x,1\n') == [["a,b", "sha256=x", "1"]]
    for broken in (b"\xff", b'"' + b"a" * 200_000 + b'",,'):
        with pytest.raises(ValueError, match=r".+"):
            rows(broken)


def test_bytecode_is_kept_beside_its_source() -> None:
    assert cached("a/b.py", TAG) == "a/__pycache__/b.cpython-311.pyc"
    assert cached("b.py", TAG) == "__pycache__/b.cpython-311.pyc"
