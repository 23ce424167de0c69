"""One immutable release: the exact blobs of configuration, certificates and every installed wheel."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Literal

from da_agent.domain.blobs import Blob, File


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
    one that was a wheel already: it lets the next adoption use the same wheel instead of building again.
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


@dataclass(frozen=True, slots=True)
class Contents:
    """What a node serves. Two releases with equal contents differ in nothing but their place in the ledger.

    `sources` are the files of the inbox's packages/ folder as they were when `wheels` was resolved from them;
    their blobs are names only and need not be in the store. `wheels` is the whole lock, sorted by name.
    """

    config: Blob
    certificates: tuple[File, ...]
    sources: tuple[File, ...]
    target: Target
    wheels: tuple[Wheel, ...]

    def blobs(self) -> tuple[Blob, ...]:
        """Everything a node must have to stage this, without repetition."""
        every = (self.config, *(file.blob for file in self.certificates), *(wheel.blob for wheel in self.wheels))
        return tuple(dict.fromkeys(every))


@dataclass(frozen=True, slots=True)
class Release:
    """A line of the ledger. `nonce` is random: after a doubtful write it tells whose release is there."""

    number: int
    nonce: str
    published_at: datetime
    publisher: str
    reason: str
    contents: Contents
    format: Literal[1] = 1


class Disturbance(Enum):
    """How much of the web server must start anew for a change: the sizes of design.md, section 5."""

    NOTHING = "nothing"
    RELOAD = "reload"
    GRACEFUL = "graceful"


def disturbance(before: Contents | None, after: Contents) -> Disturbance:
    """The least that makes the web server serve `after` where it served `before`.

    Certificates are only read again by a graceful restart, which also starts every worker anew.
    """
    if before is None or before.certificates != after.certificates:
        return Disturbance.GRACEFUL
    return Disturbance.RELOAD
