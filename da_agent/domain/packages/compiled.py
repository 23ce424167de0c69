"""Whether a wheel that a less trusted process has compiled is the wheel that went in, with bytecode added."""

import base64
import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

BYTECODE = ".pyc"


@dataclass(frozen=True, slots=True)
class PackedFile:
    """A file in a wheel: `digest` is the sha256 of its content, `size` its bytes, `mode` its attributes in the zip.

    `head` is the beginning of its bytecode; of a source, the beginning that its bytecode must have.
    """

    name: str
    digest: bytes
    size: int
    mode: int
    head: bytes = b""


@dataclass(frozen=True, slots=True)
class PackedWheel:
    """The members of a wheel in their order, and its RECORD as rows; None without one. `record` is its name."""

    members: Sequence[PackedFile]
    record: str | None
    rows: Sequence[Sequence[str]]


def difference(given: PackedWheel, made: PackedWheel, *, replaced: Callable[[str], bool], tag: str) -> str | None:
    """What is wrong with `made`, as the end of a sentence that begins with its name; None when nothing is.

    Members whose names are `replaced` are left out; `tag` is in the names of this Python's bytecode. Each new member is
    the bytecode of a source beside it, and RECORD lists it.
    """
    names = [member.name for member in made.members]
    if len(set(names)) != len(names):
        return "has two members of one name"
    if given.record != made.record:
        return "has another RECORD"
    kept = {member.name: member for member in given.members if not replaced(member.name)}
    return (
        next(_changed(kept, made, given.record), None)
        or next(_added(kept, made, tag), None)
        or _recorded(given, made, kept, replaced)
    )


def _changed(kept: Mapping[str, PackedFile], made: PackedWheel, record: str | None) -> Iterator[str]:
    found = {member.name: member for member in made.members}
    for name, member in kept.items():
        there = found.get(name)
        if there is None:
            yield f"lacks {name}"
        elif there.mode != member.mode or (name != record and there.digest != member.digest):
            yield f"has a changed {name}"


def _added(kept: Mapping[str, PackedFile], made: PackedWheel, tag: str) -> Iterator[str]:
    sources = {cached(name, tag): member for name, member in kept.items() if name.endswith(".py")}
    for member in made.members:
        if member.name not in kept:
            source = sources.get(member.name)
            if source is None:
                yield f"has a new {member.name}, which is not the bytecode of a module"
            elif not member.head.startswith(source.head):
                yield f"has bytecode in {member.name} that was not made of {source.name}"


def _recorded(
    given: PackedWheel, made: PackedWheel, kept: Mapping[str, PackedFile], replaced: Callable[[str], bool]
) -> str | None:
    new = [_row(member) for member in made.members if member.name not in kept]
    expected = [*(list(row) for row in given.rows if row and not replaced(row[0])), *new]
    return None if made.record is None or expected == [list(row) for row in made.rows] else "has a wrong RECORD"


def _row(member: PackedFile) -> list[str]:
    digest = base64.urlsafe_b64encode(member.digest).rstrip(b"=").decode()
    return [member.name, f"sha256={digest}", str(member.size)]


def cached(name: str, tag: str) -> str:
    """Where Python keeps the bytecode of the source `name` (PEP 3147)."""
    folder, slash, file = name.rpartition("/")
    return f"{folder}{slash}__pycache__/{file.removesuffix('.py')}.{tag}{BYTECODE}"


def rows(record: bytes) -> list[list[str]]:
    """The rows of a RECORD; ValueError when it has none."""
    try:
        return list(csv.reader(io.StringIO(record.decode())))
    except csv.Error as error:
        raise ValueError(str(error)) from error
