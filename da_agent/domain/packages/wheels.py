"""Installed distributions: wheels, and the Python and platform they are built for."""

import re
from dataclasses import dataclass

from da_agent.domain.store.blobs import Blob

WHEEL = ".whl"
SOURCES = (".tar.gz", ".zip")
SUFFIXES = (WHEEL, *SOURCES)
"""The endings of distribution files: PEP 427, PEP 625, and the .zip archive of a branch."""


# These texts become lines of lock files, arguments and paths. A space, a line break or a leading dash would change
# what is installed.
NAME = r"[a-z0-9]+(-[a-z0-9]+)*"
LONGEST = 255
"""Characters of the longest name that Linux allows for a file."""
_NAME = re.compile(NAME)
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+!_-]*")
_FILENAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9._]*)-[A-Za-z0-9][A-Za-z0-9.+!_]*(-[A-Za-z0-9_.]+){3,4}\.whl")
_PYTHON = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}")
_PLATFORM = re.compile(r"[A-Za-z0-9_]+")


@dataclass(frozen=True, slots=True)
class Target:
    """The target that wheels are built for: one CPython version (`3.11`) on one platform (`linux_x86_64`)."""

    python: str
    platform: str

    def __post_init__(self) -> None:
        _require(_PYTHON, self.python, "a Python version")
        _require(_PLATFORM, self.platform, "a platform")

    def __str__(self) -> str:
        return f"Python {self.python} on {self.platform}"


@dataclass(frozen=True, slots=True)
class Wheel:
    """An installed distribution: normalised name, version, the wheel's file name, and its bytes.

    `source` is the sha256 of the sdist or zip, from the inbox or an index, that the wheel was built from. With it, the
    next publication reuses the wheel instead of building it again. None when the original was already a wheel.
    `original` is the sha256 of the wheel in its index or the inbox. `blob` differs, because it also has the bytecode.
    """

    name: str
    version: str
    filename: str
    blob: Blob
    source: str | None = None
    original: str | None = None

    @property
    def origin(self) -> str:
        """The sha256 of the wheel in its index or the inbox."""
        return self.original or self.blob.sha256

    def __post_init__(self) -> None:
        _require(_NAME, self.name, "a distribution's normalised name")
        _require(_VERSION, self.version, "a version")
        _require(_FILENAME, self.filename, "a wheel's file name")
        if _normalised(self.filename.partition("-")[0]) != self.name:
            raise ValueError(f"{self.filename} is not a wheel of {self.name}")


def _normalised(name: str) -> str:
    """As PEP 503 says. The library for it takes long to import, and every command reads this module."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _require(pattern: re.Pattern[str], text: str, what: str) -> None:
    if len(text) > LONGEST or not pattern.fullmatch(text):
        raise ValueError(f"not {what}: {text!r:.80}")
