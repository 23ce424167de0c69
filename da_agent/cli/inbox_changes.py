"""What an admin wants in the inbox, from what was typed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from da_agent import files
from da_agent.domain.store import keys
from da_agent.errors import Invalid, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable

    from da_agent.domain.store.inboxes import Inbox
    from da_agent.wiring import Admin
    from da_agent.workflows.publish.pushes import InboxWrites


@dataclass(frozen=True, slots=True)
class InboxChange:
    """A change of the inbox as it will be found, and the reason that the ledger gives."""

    change: Callable[[Inbox], InboxWrites]
    reason: str


def config(file: Path) -> InboxChange:
    from da_agent.workflows.publish import pushes

    data = _read(file)
    return InboxChange(lambda _: pushes.config(data), f"configuration from {click.format_filename(file.name)}")


def certificates(directory: Path) -> InboxChange:
    from da_agent.workflows.publish import pushes

    with files.on_this_node(f"read {directory}"):
        found = {name: _read(directory / name) for name in files.below(directory)}
    if not found:
        raise Invalid(f"there are no files in {directory}: nothing to push")
    return InboxChange(lambda _: pushes.certificates(found), f"certificates {', '.join(found)}")


def packages(admin: Admin, names: tuple[str, ...]) -> InboxChange:
    """Requirements, and files that are told by their suffixes."""
    from da_agent.domain.packages import requirements
    from da_agent.workflows.publish import pushes

    distributions = {Path(each).name: Path(each) for each in names if _is_file(each)}
    missing = [str(path) for path in distributions.values() if not path.is_file()]
    if missing:
        raise Invalid(f"there is no such file: {path}" for path in missing)
    specs = tuple(each for each in names if not _is_file(each))
    return InboxChange(
        lambda inbox: pushes.packages(inbox, _requirements(admin), specs, distributions),
        f"packages {', '.join((*map(requirements.told, specs), *distributions))}",
    )


def _is_file(name: str) -> bool:
    """The address of an archive ends as a file does."""
    from da_agent.domain.packages.wheels import SUFFIXES

    return name.endswith(SUFFIXES) and "://" not in name


def without(admin: Admin, name: str) -> InboxChange:
    from da_agent.workflows.publish import pushes

    return InboxChange(lambda inbox: pushes.without(inbox, _requirements(admin), name), f"without package {name}")


def _requirements(admin: Admin) -> bytes:
    try:
        return admin.reader.written(keys.REQUIREMENTS)
    except NotFound:
        return b""


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Invalid(f"cannot read {path}: {error.strerror}") from error
