"""Installed distributions: wheels, and the Python and platform they are built for."""

from dataclasses import dataclass

from da_agent.domain.store.blobs import Blob

WHEEL = ".whl"
SOURCES = (".tar.gz", ".zip")
SUFFIXES = (WHEEL, *SOURCES)
"""The endings of distribution files: PEP 427, PEP 625, and the .zip archive of a branch."""


@dataclass(frozen=True, slots=True)
class Target:
    """The target that wheels are built for: one CPython version (`3.11`) on one platform (`linux_x86_64`)."""

    python: str
    platform: str

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
        if "/" in self.filename or not self.filename.endswith(WHEEL):
            raise ValueError(f"not a wheel's file name: {self.filename!r}")
