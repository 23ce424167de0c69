"""Adds the bytecode of its modules to each wheel, run by the wheels' own Python.

`bytecode_writer.py FOLDER UID:GID WHEEL…`: the user that compiles, by ids, or `-` for the user that runs this.
It runs no code of the wheels and needs only the standard library. It prints the name of each finished wheel.

Root starts it. It opens both files of a wheel and then, in a process for this wheel alone, becomes the user for good.
That user's other processes, such as what a build has left running, reach neither this process nor its two files: a
process that has changed its user cannot be traced. So what a wheel gets depends on that wheel alone.

The bytecode is unchecked hash-based (PEP 552): Python never compares it with its source. Both are in the same wheel,
whose hash covers both. Python sets the recorded source path when it imports the module.

Bytecode that a wheel already contains is left out. This Python cannot read that of other versions. Its own kind would
be compared with the time of the source, which installing changes: every process would compile the module again.
"""

import base64
import csv
import ctypes
import hashlib
import importlib.util
import io
import marshal
import os
import re
import shutil
import sys
import traceback
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

UNCHECKED_HASH = (1).to_bytes(4, "little")
RECORD = re.compile(r"[^/]+\.dist-info/RECORD")
BROUGHT = re.compile(r"(.*/)?__pycache__/[^/]+\.pyc")
"""Where Python caches bytecode of a source. A .pyc elsewhere is a module without source, and is kept."""
# These folders hold no modules: modules lie at the top, or in the purelib and platlib folders of `.data`.
ELSEWHERE = re.compile(r"[^/]+\.(dist-info/|data/(?!purelib/|platlib/))")

SET_DUMPABLE, SET_NO_NEW_PRIVS = 4, 38  # of prctl(2)


def is_replaced(name: str) -> bool:
    """Whether a wheel's own member is left out."""
    return BROUGHT.fullmatch(name) is not None and not ELSEWHERE.match(name)


def bytecode(name: str, source: bytes) -> bytes | None:
    """The content of the .pyc; None when this Python cannot compile `source`: a template, another Python's module."""
    try:
        code = compile(source, name, "exec", dont_inherit=True)
        return header(source) + marshal.dumps(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return None


def header(source: bytes) -> bytes:
    return importlib.util.MAGIC_NUMBER + UNCHECKED_HASH + importlib.util.source_hash(source)


def write(wheel: BinaryIO, into: BinaryIO) -> None:
    """Write the wheel with bytecode to `into`."""
    with zipfile.ZipFile(wheel) as given, zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as made:
        record = next((info for info in given.infolist() if RECORD.fullmatch(info.filename)), None)
        added: list[list[str]] = []
        for info in given.infolist():
            if info is not record and not is_replaced(info.filename):
                copy_member(given, info, made)
                added += add_bytecode(given, info, made)
        if record is not None:
            made.writestr(described(record, record.filename), new_record(given.read(record), added))


def add_bytecode(given: zipfile.ZipFile, info: zipfile.ZipInfo, made: zipfile.ZipFile) -> Iterator[list[str]]:
    """The row of RECORD for the bytecode of `info`, if it has any."""
    if info.filename.endswith(".py") and not ELSEWHERE.match(info.filename):
        data = bytecode(info.filename, given.read(info))
        if data is not None:
            target = importlib.util.cache_from_source(info.filename)
            made.writestr(described(info, target), data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            yield [target, f"sha256={digest}", str(len(data))]


def new_record(record: bytes, added: list[list[str]]) -> str:
    rows = [row for row in csv.reader(io.StringIO(record.decode())) if row and not is_replaced(row[0])]
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows + added)
    return text.getvalue()


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


def start(wheel: Path, folder: Path, user: tuple[int, int] | None) -> int:
    """The id of a new process that writes this wheel into `folder`, and ends with 0 when it is complete."""
    pid = os.fork()
    if pid == 0:
        try:
            with wheel.open("rb") as given, (folder / wheel.name).open("xb") as made:
                if user is not None:
                    become(*user)
                write(given, made)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return pid


def become(uid: int, gid: int) -> None:
    """Give up root's rights for good. The kernel then forbids other processes to trace this one; so do we."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if prctl(SET_DUMPABLE, 0, 0, 0, 0) or prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def finish(running: dict[int, Path]) -> None:
    """Wait for one of the processes; SystemExit when it has failed."""
    pid, status = os.wait()
    # As the first process in its namespace, this one also inherits those whose parents have ended.
    if pid not in running:
        return
    name = running.pop(pid).name
    if status != 0:
        sys.exit(f"error: cannot compile {name}: its process ended with {os.waitstatus_to_exitcode(status)}")
    sys.stdout.write(f"{name}\n")
    sys.stdout.flush()


def main() -> None:
    """Compile the wheels in several processes: compiling is most of the work."""
    warnings.simplefilter("ignore")
    folder, wheels = Path(sys.argv[1]), [Path(name) for name in sys.argv[3:]]
    uid, _, gid = sys.argv[2].partition(":")
    user = None if uid == "-" else (int(uid), int(gid))
    # The largest first: a large wheel at the end would leave the other processes idle.
    wheels.sort(key=lambda wheel: wheel.stat().st_size, reverse=True)
    running: dict[int, Path] = {}
    for wheel in wheels:
        while len(running) >= len(os.sched_getaffinity(0)):
            finish(running)
        running[start(wheel, folder, user)] = wheel
    while running:
        finish(running)


if __name__ == "__main__":
    main()
