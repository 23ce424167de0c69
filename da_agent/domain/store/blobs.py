"""Blobs: bytes stored under their own sha256."""

import hashlib
import re
from dataclasses import dataclass

from da_agent.domain.store.names import is_relative

_SHA256 = re.compile(r"[0-9a-f]{64}")


PUT_BACK = "da-agent publish, on a node that still has it, puts it back"
"""The remedy for a blob that is missing or has wrong bytes in the store."""


@dataclass(frozen=True, slots=True, order=True)
class Blob:
    """The name of a blob: the sha256 of its bytes (64 lower-case hex digits), and their number."""

    sha256: str
    size: int

    def __post_init__(self) -> None:
        # The hash becomes part of a path and a key. Any other text could lead out of the folder.
        if not _SHA256.fullmatch(self.sha256):
            raise ValueError(f"not a sha256: {self.sha256!r}")
        if self.size < 0:
            raise ValueError(f"not a size: {self.size}")


@dataclass(frozen=True, slots=True, order=True)
class File:
    """A blob and the name of its file in the inbox, relative to its folder."""

    name: str
    blob: Blob

    def __post_init__(self) -> None:
        if not is_relative(self.name):
            raise ValueError(f"not a file name: {self.name!r}")


def blob_of(data: bytes) -> Blob:
    return Blob(hashlib.sha256(data).hexdigest(), len(data))
