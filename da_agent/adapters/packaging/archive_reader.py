"""Reads unchecked wheels and sources: `archive_reader.py LIMITS USER (KIND PATH)…`, by any Python.

KIND is `wheel` (its listing and what it says about itself), `whole` (each byte of a wheel, too) or `source`. LIMITS is
a JSON object with values of da_agent.domain.limits. It needs only the standard library.

The process limits its memory, CPU time and output before it reads a byte, and becomes USER (a user id; "" to stay who
it is). For each archive it prints a line of JSON: {"problem": "…"} or {"wheel": {…}} or {"source": {}}. When it is
killed, the first archive without a line is the cause. The first line is "ready".
"""

import configparser
import gzip
import io
import json
import lzma
import os
import re
import resource
import sys
import tarfile
import zipfile
import zlib
from email.parser import BytesParser

DAMAGES = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OSError,
)
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
DIST_INFO = re.compile(r"([^/]+\.dist-info)/")
# These encodings are loaded now: the other user may not be able to read the files of this Python.
for encoding in ("cp437", "utf-8", "ascii", "latin-1"):
    "".encode(encoding)


class Wrong(Exception):
    """The archive is refused. The text completes "cannot use FILE: " and has the remedy."""


def confine(limits: dict[str, int], user: str) -> None:
    """Limit this process for ever, and give up its rights."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (limits["READER_MEMORY"],) * 2)
    # The second limit kills without saying why.
    resource.setrlimit(resource.RLIMIT_CPU, (limits["READER_SECONDS"], limits["READER_SECONDS"] + 5))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits["READER_OUTPUT"],) * 2)
    if user:
        number = int(user)
        os.setgroups([])
        os.setresgid(number, number, number)
        os.setresuid(number, number, number)


class Bounded(io.RawIOBase):
    """The bytes of `source`, but not more than `most`."""

    def __init__(self, source: gzip.GzipFile, most: int) -> None:
        self.source = source
        self.left = most

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self.source.read(min(size, 1 << 20) if size >= 0 else 1 << 20)
        self.left -= len(data)
        if self.left < 0:
            raise Wrong("it unpacks to many times its size, as no honest package does. Make it smaller")
        return data


class Archives:
    def __init__(self, limits: dict[str, int]) -> None:
        self.limits = limits

    def read(self, kind: str, file: io.BufferedReader, name: str) -> dict[str, object]:
        size = os.fstat(file.fileno()).st_size
        if size > self.limits["DISTRIBUTION"]:
            raise Wrong(f"it has {size} bytes, and may have {self.limits['DISTRIBUTION']}. Make it smaller")
        most = min(self.limits["UNPACKED"], self.limits["SWELLING_FREE"] + self.limits["SWELLING"] * size)
        if kind == "source" and not name.endswith(".zip"):
            self.check_tar(file, most)
            return {"source": {}}
        with zipfile.ZipFile(file) as archive:
            self.check_members(archive, most)
            if kind != "wheel" and (damaged := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"{damaged} is damaged")
            return {"source": {}} if kind == "source" else {"wheel": self.wheel(archive)}

    def check_tar(self, file: io.BufferedReader, most: int) -> None:
        with (
            gzip.GzipFile(fileobj=file) as unpacked,
            tarfile.open(fileobj=Bounded(unpacked, most), mode="r|") as archive,
        ):
            for count, member in enumerate(archive, 1):
                archive.members = []  # type: ignore[attr-defined]
                self.check_count(count)
                self.check_name(member.name)

    def check_members(self, archive: zipfile.ZipFile, most: int) -> None:
        members = archive.infolist()
        self.check_count(len(members))
        if sum(member.file_size for member in members) > most:
            raise Wrong("it unpacks to many times its size, as no honest package does. Make it smaller")
        for member in members:
            self.check_name(member.filename)
            if member.flag_bits & 1:
                raise Wrong(f"{shown(member.filename)} in it is encrypted. Build it again without a password")
            if member.compress_type not in METHODS:
                raise Wrong(f"{shown(member.filename)} in it is not compressed with deflate. Build it again")

    def check_count(self, count: int) -> None:
        if count > self.limits["MEMBERS"]:
            raise Wrong(f"it has more than {self.limits['MEMBERS']} files. Split it into several packages")

    def check_name(self, name: str) -> None:
        if len(name) > self.limits["MEMBER_NAME"]:
            raise Wrong(f"the name of a file in it has more than {self.limits['MEMBER_NAME']} characters. Shorten it")

    def wheel(self, archive: zipfile.ZipFile) -> dict[str, object]:
        members = [member for member in archive.infolist() if not member.is_dir()]
        check_paths(members)
        for member in members:
            if member.filename.endswith(".py") and member.file_size > self.limits["MODULE"]:
                size, most = member.file_size, self.limits["MODULE"]
                raise Wrong(f"{shown(member.filename)} in it has {size} bytes, and may have {most}. Split it")
        folders = {found[1] for member in members if (found := DIST_INFO.match(member.filename))}
        if len(folders) != 1:
            raise Wrong(f"it has {len(folders)} .dist-info folders instead of one. Build it again")
        folder = folders.pop()
        self.text(archive, f"{folder}/RECORD", self.limits["RECORD_FILE"])
        metadata = BytesParser().parsebytes(self.text(archive, f"{folder}/METADATA"), headersonly=True)
        about = BytesParser().parsebytes(self.text(archive, f"{folder}/WHEEL"), headersonly=True)
        check_about(f"{folder}/WHEEL", str(about["Wheel-Version"] or ""), list(map(str, about.get_all("Tag", []))))
        return {
            "name": header(f"{folder}/METADATA", metadata, "Name"),
            "version": header(f"{folder}/METADATA", metadata, "Version"),
            "scripts": self.scripts(archive, f"{folder}/entry_points.txt"),
            "members": [[member.filename, member.file_size, member.CRC] for member in members],
        }

    def text(self, archive: zipfile.ZipFile, name: str, most: int | None = None) -> bytes:
        most = self.limits["METADATA"] if most is None else most
        try:
            size = archive.getinfo(name).file_size
        except KeyError:
            raise Wrong(f"{shown(name)} is missing in it. Build it again") from None
        if size > most:
            raise Wrong(f"{shown(name)} in it has {size} bytes, and may have {most}. Build it again without that")
        return archive.read(name)

    def scripts(self, archive: zipfile.ZipFile, name: str) -> list[str]:
        """The names of the programs that an installer makes."""
        if name not in archive.namelist():
            return []
        parsed = configparser.RawConfigParser(delimiters=("=",), strict=False)
        parsed.optionxform = str  # type: ignore[assignment,method-assign]
        try:
            parsed.read_string(self.text(archive, name).decode())
        except (configparser.Error, UnicodeDecodeError):
            raise Wrong(f"{shown(name)} in it cannot be read. Build it again") from None
        found = [key for section in ("console_scripts", "gui_scripts") if section in parsed for key in parsed[section]]
        for each in found:
            if not re.fullmatch(r"[\w+-][\w.+ -]*", each, re.ASCII):
                raise Wrong(f"{shown(name)} in it names the program {shown(each)}. Rename that program")
        return found


def check_paths(members: list[zipfile.ZipInfo]) -> None:
    """Each member must be one file of its own, inside of the environment, whichever program unpacks it."""
    seen: set[str] = set()
    for member in members:
        name = member.filename
        parts = name.split("/")
        if any(part in ("", ".", "..") or len(part.encode()) > 255 for part in parts) or re.search(
            r"[\\\x00-\x1f\x7f]", name
        ):
            raise Wrong(f"it has a file named {shown(name)}. Rename that file")
        if name in seen:
            raise Wrong(f"it has two files named {shown(name)}. Build it again")
        if (member.external_attr >> 16) & 0o170000 == 0o120000:
            raise Wrong(f"{shown(name)} in it is a link. Put the file itself there")
        seen.add(name)
    folders = {name[: place.start()] for name in seen for place in re.finditer("/", name)}
    both = sorted(seen & folders)
    if both:
        raise Wrong(f"{shown(both[0])} in it is a file and a folder. Build it again")


def check_about(name: str, version: str, tags: list[str]) -> None:
    if not re.fullmatch(r"1\.\d{1,9}", version.strip()):
        raise Wrong(f"{shown(name)} in it has the Wheel-Version {shown(version)} instead of 1.0. Build it again")
    for tag in tags:
        if not re.fullmatch(r"[\w.]+-[\w.]+-[\w.]+", tag.strip(), re.ASCII):
            raise Wrong(f"{shown(name)} in it has the tag {shown(tag)}, which no installer can read. Build it again")


def header(name: str, message: object, key: str) -> str:
    value = message[key]  # type: ignore[index]
    if value is None or not str(value).strip():
        raise Wrong(f"{shown(name)} in it has no {key}. Build it again")
    return str(value).strip()[:200]


def shown(text: str) -> str:
    return ascii(text)[1:-1][:100] or '""'


def answer(reader: Archives, kind: str, file: io.BufferedReader, name: str) -> dict[str, object]:
    try:
        return reader.read(kind, file, name)
    except Wrong as wrong:
        return {"problem": str(wrong)}
    except (MemoryError, RecursionError):
        return {"problem": "reading it takes more memory than is allowed. Build it again"}
    except DAMAGES as error:
        return {"problem": f"it is damaged or not complete ({shown(str(error))}). Upload it again"}


def main() -> None:
    limits, user, *rest = sys.argv[1:]
    reader = Archives(json.loads(limits))
    # Opened first: the other user may not be able to read them.
    files = [(kind, open(path, "rb"), path) for kind, path in zip(rest[::2], rest[1::2], strict=True)]  # noqa: PTH123, SIM115
    confine(reader.limits, user)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for kind, file, path in files:
        sys.stdout.write(json.dumps(answer(reader, kind, file, path)) + "\n")
        sys.stdout.flush()
        file.close()


if __name__ == "__main__":
    main()
