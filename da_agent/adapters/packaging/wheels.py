"""The names and metadata of wheel and source files, and which wheels fit a Python."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging import tags
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, canonicalize_version, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from da_agent.domain.packages.listings import Listing
from da_agent.domain.packages.wheels import Target, Wheel
from da_agent.domain.store.blobs import Blob
from da_agent.errors import Invalid


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


def check_wheel(filename: str, listing: Listing) -> None:
    """Raise Invalid unless the metadata has the name and version of `filename`."""
    expected = title(filename)
    name, version = listing.name, listing.version
    if canonicalize_name(name) != expected.name or canonicalize_version(version) != canonicalize_version(
        expected.version
    ):
        raise Invalid(f"{filename} contains {name} {version}: rename the file to match")


def blob(path: Path) -> Blob:
    """The blob (sha256 and size in bytes) of a file."""
    with path.open("rb") as file:
        return Blob(hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)
