"""Folders outside the releases that hold a node's certificates, and the result of writing them."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of a node. `install` is for programs that start as root; the optional `web` belongs to user `owner`.

    `owner` is the web user. It is None when everything on the node runs as one user.
    """

    install: Path
    web: Path | None = None
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """The result for one folder. `remark` is a note for admins, or empty."""

    path: Path
    changed: bool
    remark: str = ""

    def __str__(self) -> str:
        return f"{self.path}{' (unchanged)' if not self.changed else ''}{': ' + self.remark if self.remark else ''}"
