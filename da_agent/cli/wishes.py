"""What an admin wants in the inbox, from what was typed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from da_agent import files
from da_agent.domain import keys
from da_agent.errors import Absent, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from da_agent.domain.inboxes import Inbox
    from da_agent.wiring import Desk
    from da_agent.workflows.pushes import Change

SUFFIXES = (".whl", ".tar.gz", ".zip")


@dataclass(frozen=True, slots=True)
class Wish:
    """A change of the inbox as it will be found, and the reason that the ledger gives."""

    change: Callable[[Inbox], Change]
    reason: str


def config(file: Path) -> Wish:
    from da_agent.workflows import pushes

    data = _read(file)
    return Wish(lambda _: pushes.config(data), f"configuration from {file.name}")


def certificates(directory: Path) -> Wish:
    from da_agent.workflows import pushes

    with files.on_this_node(f"read {directory}"):
        found = {name: _read(directory / name) for name in files.below(directory)}
    if not found:
        raise Refused(f"there are no files in {directory}: nothing to push")
    return Wish(lambda _: pushes.certificates(found), f"certificates {', '.join(found)}")


def packages(desk: Desk, names: tuple[str, ...]) -> Wish:
    """Requirements, and files that are told by their suffixes."""
    from da_agent.domain import requirements
    from da_agent.workflows import pushes

    distributions = {Path(each).name: Path(each) for each in names if _is_file(each)}
    missing = [str(path) for path in distributions.values() if not path.is_file()]
    if missing:
        raise Refused(f"there is no such file: {path}" for path in missing)
    specs = tuple(each for each in names if not _is_file(each))
    return Wish(
        lambda inbox: pushes.packages(inbox, _requirements(desk), specs, distributions),
        f"packages {', '.join((*map(requirements.told, specs), *distributions))}",
    )


def _is_file(name: str) -> bool:
    """The address of an archive ends as a file does."""
    return name.endswith(SUFFIXES) and "://" not in name


def without(desk: Desk, name: str) -> Wish:
    from da_agent.workflows import pushes

    return Wish(lambda inbox: pushes.without(inbox, _requirements(desk), name), f"without package {name}")


def _requirements(desk: Desk) -> bytes:
    try:
        return desk.store.read(keys.REQUIREMENTS).data
    except Absent:
        return b""


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Refused(f"cannot read {path}: {error.strerror}") from error
