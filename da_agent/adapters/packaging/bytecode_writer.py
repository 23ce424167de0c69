"""Adds the bytecode of its modules to each wheel: `bytecode_writer.py FOLDER WHEEL…`, run by the wheels' own Python.

It runs no code of the wheels and needs only the standard library. It prints the name of each finished wheel.

The bytecode is unchecked hash-based (PEP 552): Python never compares it with its source. Both are in the same wheel,
whose hash covers both. Python sets the recorded source path when it imports the module.

Bytecode that a wheel already contains is left out. This Python cannot read that of other versions. Its own kind would
be compared with the time of the source, which installing changes: every process would compile the module again.
"""

import base64
import csv
import hashlib
import importlib.util
import io
import marshal
import multiprocessing
import re
import shutil
import sys
import warnings
import zipfile
from functools import partial
from pathlib import Path

UNCHECKED_HASH = (1).to_bytes(4, "little")
RECORD = re.compile(r"[^/]+\.dist-info/RECORD")
BROUGHT = re.compile(r"(.*/)?__pycache__/[^/]+\.pyc")
"""Where Python caches bytecode of a source. A .pyc elsewhere is a module without source, and is kept."""
# These folders hold no modules: modules lie at the top, or in the purelib and platlib folders of `.data`.
ELSEWHERE = re.compile(r"[^/]+\.(dist-info/|data/(?!purelib/|platlib/))")


def bytecode(name: str, source: bytes) -> bytes | None:
    """The content of the .pyc; None when this Python cannot compile `source`: a template, another Python's module."""
    try:
        code = compile(source, name, "exec", dont_inherit=True)
        return importlib.util.MAGIC_NUMBER + UNCHECKED_HASH + importlib.util.source_hash(source) + marshal.dumps(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return None


def write(folder: Path, wheel: Path) -> str:
    """Write the wheel with bytecode into `folder`; returns its file name."""
    added: list[list[str]] = []
    with zipfile.ZipFile(wheel) as given, zipfile.ZipFile(folder / wheel.name, "w", zipfile.ZIP_DEFLATED) as made:
        left_out = {name for name in given.namelist() if BROUGHT.fullmatch(name) and not ELSEWHERE.match(name)}
        record = next((info for info in given.infolist() if RECORD.fullmatch(info.filename)), None)
        for info in given.infolist():
            if info is record or info.filename in left_out:
                continue
            copy_member(given, info, made)
            target = importlib.util.cache_from_source(info.filename) if info.filename.endswith(".py") else ""
            if target and not ELSEWHERE.match(info.filename):
                data = bytecode(info.filename, given.read(info))
                if data is not None:
                    made.writestr(described(info, target), data)
                    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
                    added.append([target, f"sha256={digest}", str(len(data))])
        if record is not None:
            rows = [
                row for row in csv.reader(io.StringIO(given.read(record).decode())) if row and row[0] not in left_out
            ]
            text = io.StringIO(newline="")
            csv.writer(text, lineterminator="\n").writerows(rows + added)
            made.writestr(described(record, record.filename), text.getvalue())
    return wheel.name


def copy_member(given: zipfile.ZipFile, info: zipfile.ZipInfo, made: zipfile.ZipFile) -> None:
    copy = described(info, info.filename)
    copy.file_size = info.file_size
    with given.open(info) as source, made.open(copy, "w") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)


def described(info: zipfile.ZipInfo, name: str) -> zipfile.ZipInfo:
    """A member called `name` with the time and the permissions of `info`."""
    made = zipfile.ZipInfo(name, info.date_time)
    made.compress_type = zipfile.ZIP_DEFLATED
    made.external_attr = info.external_attr
    return made


def main() -> None:
    """Compile the wheels in several processes: compiling is most of the work."""
    warnings.simplefilter("ignore")
    folder, *wheels = map(Path, sys.argv[1:])
    # The largest first: a large wheel at the end would leave the other processes idle.
    wheels.sort(key=lambda wheel: wheel.stat().st_size, reverse=True)
    with multiprocessing.get_context("fork").Pool() as pool:
        for name in pool.imap_unordered(partial(write, folder), wheels):
            sys.stdout.write(f"{name}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
