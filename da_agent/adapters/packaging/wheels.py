"""The names and metadata of wheel and source files, and which wheels fit a Python."""

import gzip
import hashlib
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path

from packaging import tags
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, canonicalize_version, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from da_agent.domain.packages.wheels import Target, Wheel
from da_agent.domain.store.blobs import Blob
from da_agent.errors import Invalid

_DAMAGES = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Title:
    """The parts of a wheel's file name."""

    name: str
    version: Version
    build: tuple[int | str, ...]
    tags: frozenset[Tag]


def title(filename: str) -> Title:
    """Parse a wheel's file name; Invalid when it is none."""
    try:
        name, version, build, found = parse_wheel_filename(filename)
    except (InvalidWheelFilename, InvalidVersion) as error:
        raise Invalid(f"{filename} is not named as wheels are: {error}") from error
    return Title(name, version, build, found)


def wheel(path: Path, source: str | None) -> Wheel:
    """The record of the wheel at `path`, which was built from the source with the sha256 `source`, if from any."""
    parsed = title(path.name)
    try:
        return Wheel(parsed.name, str(parsed.version), path.name, blob(path), source)
    except ValueError as error:
        raise Invalid(f"{path.name} is not named as wheels are: {error}") from error


class Fits:
    """Which wheels a target can use, and which of them it prefers."""

    def __init__(self, target: Target) -> None:
        self.target = target
        major, minor = (int(part) for part in target.python.split("."))
        platforms = list(tags.platform_tags())
        interpreter = f"cp{major}{minor}"
        ordered = (
            *tags.cpython_tags((major, minor), [interpreter], platforms),
            *tags.compatible_tags((major, minor), interpreter, platforms),
        )
        self._ranks: Mapping[Tag, int] = {tag: rank for rank, tag in reversed(list(enumerate(ordered)))}

    def rank(self, filename: str) -> int | None:
        """The wheel's rank, smaller is better; None when the target cannot use it."""
        return min((self._ranks[tag] for tag in title(filename).tags if tag in self._ranks), default=None)

    def require(self, filename: str) -> int:
        rank = self.rank(filename)
        if rank is None:
            raise Invalid(
                f"{filename} is not for {self.target}, which this cluster runs: put a wheel for it, or the source, "
                f"into packages/"
            )
        return rank


def check_wheel(filename: str, path: Path) -> None:
    """Raise Invalid unless the file is a complete zip whose metadata has the name and version of `filename`."""
    expected = title(filename)
    with _whole(filename), zipfile.ZipFile(path) as archive:
        _check_members(archive)
        names = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA") and name.count("/") == 1]
        metadata = message_from_bytes(archive.read(names[0])) if names else None
    if metadata is None:
        raise Invalid(f"{filename} is not a wheel: it has no METADATA")
    name, version = str(metadata["Name"]), str(metadata["Version"])
    if canonicalize_name(name) != expected.name or canonicalize_version(version) != canonicalize_version(
        expected.version
    ):
        raise Invalid(f"{filename} contains {name} {version}: rename the file to match")


def check_source(filename: str, path: Path) -> None:
    """Raise Invalid unless the file is a complete archive."""
    with _whole(filename):
        if filename.endswith(".zip"):
            with zipfile.ZipFile(path) as archive:
                _check_members(archive)
        else:
            with tarfile.open(path, "r:gz") as archive:
                for _ in archive:
                    pass


def _check_members(archive: zipfile.ZipFile) -> None:
    damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"{damaged} is damaged")


@contextmanager
def _whole(filename: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGES as error:
        raise Invalid(f"cannot read {filename}: it is damaged or not complete ({error}); upload it again") from error


def blob(path: Path) -> Blob:
    """The blob (sha256 and size in bytes) of a file."""
    with path.open("rb") as file:
        return Blob(hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)
