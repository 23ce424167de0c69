"""Bytes known by their own sha256."""

import hashlib
import re
from dataclasses import dataclass

from da_agent.domain.store.names import is_relative

_SHA256 = re.compile(r"[0-9a-f]{64}")


PUT_BACK = "da-agent publish, on a node that still has it, puts it back"
"""What to do about one that the store has lost, or has other bytes for."""


@dataclass(frozen=True, slots=True, order=True)
class Blob:
    """The name of some bytes: their sha256 (64 lower-case hex digits) and how many there are."""

    sha256: str
    size: int

    def __post_init__(self) -> None:
        # The hash becomes part of a path and of a key: anything else here would be a way out of the folder.
        if not _SHA256.fullmatch(self.sha256):
            raise ValueError(f"not a sha256: {self.sha256!r}")
        if self.size < 0:
            raise ValueError(f"not a size: {self.size}")


@dataclass(frozen=True, slots=True, order=True)
class File:
    """A blob under the name that people gave it, relative to its folder."""

    name: str
    blob: Blob

    def __post_init__(self) -> None:
        if not is_relative(self.name):
            raise ValueError(f"not a file name: {self.name!r}")


def blob_of(data: bytes) -> Blob:
    return Blob(hashlib.sha256(data).hexdigest(), len(data))
