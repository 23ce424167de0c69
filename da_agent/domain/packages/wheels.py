"""Installed distributions: wheels, and the Python and platform that they are made for."""

from dataclasses import dataclass

from da_agent.domain.store.blobs import Blob

WHEEL = ".whl"
SOURCES = (".tar.gz", ".zip")
SUFFIXES = (WHEEL, *SOURCES)
"""Files that are distributions, by their names: PEP 427 and PEP 625, and the .zip of a branch."""


@dataclass(frozen=True, slots=True)
class Target:
    """What wheels are made for: one Python (`3.11`, CPython) on one platform (`linux_x86_64`)."""

    python: str
    platform: str

    def __str__(self) -> str:
        return f"Python {self.python} on {self.platform}"


@dataclass(frozen=True, slots=True)
class Wheel:
    """An installed distribution: normalised name, version, the wheel's file name, and its bytes.

    `source` is the sha256 of the sdist or zip, of the inbox or of an index, that the wheel was built from; None for
    one that was a wheel already: it lets the next publication use the same wheel instead of building again.
    `original` is the sha256 of the wheel as its index or the inbox has it: `blob` has the bytecode in it, too.
    """

    name: str
    version: str
    filename: str
    blob: Blob
    source: str | None = None
    original: str | None = None

    @property
    def origin(self) -> str:
        """The sha256 by which others know it."""
        return self.original or self.blob.sha256

    def __post_init__(self) -> None:
        if "/" in self.filename or not self.filename.endswith(".whl"):
            raise ValueError(f"not a wheel's file name: {self.filename!r}")
