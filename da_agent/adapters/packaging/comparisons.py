"""Compares a wheel with bytecode, which a less trusted process has written, with the wheel that went in."""

import hashlib
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from da_agent.adapters.packaging import bytecode_writer
from da_agent.domain import limits
from da_agent.domain.packages import compiled
from da_agent.domain.packages.compiled import PackedFile, PackedWheel
from da_agent.errors import NodeBroken

_LOCAL = struct.Struct("<4sHHHHHLLLHH")
"""The header of a member in front of its bytes: APPNOTE.TXT of PKWARE, 4.3.7."""
_CHUNK = 1 << 20
_DAMAGES = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)
_IN_EXTRA = 0xFFFFFFFF
"""The size of a member that is larger than 4 GiB stands elsewhere."""


def require_same(given: Path, made: Path, python: str) -> None:
    """Raise NodeBroken unless `made` is `given` with bytecode for this version of Python.

    Only with the agent's own version is the hash of the source in each bytecode compared, too.
    """
    try:
        wrong = _difference(given, made, python)
    except _DAMAGES:
        wrong = "is damaged"
    if wrong is not None:
        raise NodeBroken(f"cannot use the compiled {made.name}: it {wrong}; another program may have changed it")


def _difference(given: Path, made: Path, python: str) -> str | None:
    with zipfile.ZipFile(given) as before, zipfile.ZipFile(made) as after:
        # First what costs nothing: no more is read than the wheel that went in has, and its bytecode.
        return (
            _hidden(made, after)
            or _larger(before, after)
            or compiled.difference(
                _contents(before, _expected_head(python)),
                _contents(after, _head),
                replaced=bytecode_writer.is_replaced,
                tag=f"cpython-{python.replace('.', '')}",
            )
        )


def _larger(before: zipfile.ZipFile, after: zipfile.ZipFile) -> str | None:
    sizes = {info.filename: info.file_size for info in before.infolist()}
    for info in after.infolist():
        written = bytecode_writer.RECORD.fullmatch(info.filename) or bytecode_writer.is_replaced(info.filename)
        known = None if written else sizes.get(info.filename)
        if info.file_size > limits.BYTECODE if known is None else info.file_size != known:
            return f"has a member {info.filename} of {info.file_size} bytes"
    return None


Head = Callable[[str, bytes], bytes]


def _head(name: str, content: bytes) -> bytes:
    return content[:16] if name.endswith(compiled.BYTECODE) else b""


def _expected_head(python: str) -> Head:
    same = python == f"{sys.version_info.major}.{sys.version_info.minor}"
    return lambda name, content: bytecode_writer.header(content) if same and name.endswith(".py") else b""


def _contents(archive: zipfile.ZipFile, head: Head) -> PackedWheel:
    names = [info.filename for info in archive.infolist()]
    record = next(filter(bytecode_writer.RECORD.fullmatch, names), None)
    rows = [] if record is None else compiled.rows(archive.read(record))
    return PackedWheel([_member(archive, info, head) for info in archive.infolist()], record, rows)


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, head: Head) -> PackedFile:
    digest = hashlib.sha256()
    # Only modules and their bytecode are read as a whole: other files may be very large.
    if info.filename.endswith((".py", compiled.BYTECODE)):
        content = archive.read(info)
        digest.update(content)
        return PackedFile(
            info.filename, digest.digest(), info.file_size, info.external_attr, head(info.filename, content)
        )
    with archive.open(info) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return PackedFile(info.filename, digest.digest(), info.file_size, info.external_attr)


def _hidden(path: Path, archive: zipfile.ZipFile) -> str | None:
    """What a program that reads a zip from its start would find, and one that reads the list at its end would not."""
    position = 0
    with path.open("rb") as file:
        for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
            file.seek(position)
            header = file.read(_LOCAL.size)
            if info.header_offset != position or not _agrees(header, info):
                return f"has other bytes before {info.filename} than its list of members says"
            *_, name, extra = _LOCAL.unpack(header)
            position += _LOCAL.size + name + extra + info.compress_size
    return None if position == archive.start_dir and not archive.comment else "has bytes that belong to no member"


def _agrees(header: bytes, info: zipfile.ZipInfo) -> bool:
    if len(header) != _LOCAL.size:
        return False
    _, _, flags, method, _, _, crc, packed, size, _, _ = _LOCAL.unpack(header)
    return (
        (flags, method, crc) == (info.flag_bits, info.compress_type, info.CRC)
        and packed in (info.compress_size, _IN_EXTRA)
        and size in (info.file_size, _IN_EXTRA)
    )
