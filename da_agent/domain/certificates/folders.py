"""Folders outside the releases in which a node's certificates lie, and what became of them."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Places:
    """`install` is for programs that begin as root; `web`, where it is asked for, belongs to the web user `owner`.

    Without an `owner` everything on the node runs as one user.
    """

    install: Path
    web: Path | None = None
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """What became of one of the places. `remark` is what people should know about it, or empty."""

    path: Path
    changed: bool
    remark: str = ""

    def __str__(self) -> str:
        return f"{self.path}{' (unchanged)' if not self.changed else ''}{': ' + self.remark if self.remark else ''}"
