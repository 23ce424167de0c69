"""Certificate folders that cannot be moved. Each file is replaced atomically, but the set of files is not."""

import json
import os
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import PurePosixPath
from typing import TypeVar

from da_agent.domain import limits
from da_agent.domain.certificates.folders import Placed
from da_agent.domain.store.names import is_relative
from da_agent.held_folders import UNFINISHED, HeldFolder, Ids

T = TypeVar("T")

_OURS = ".da-agent.json"
"""The file that lists the agent's files; files of other programs stay."""


def fill(place: HeldFolder, found: Mapping[str, bytes], ids: Ids | None) -> Placed:
    """Write the files `found` into the folder `place`, and remove the agent's other files from it."""
    remark = "file by file, because this folder cannot be moved (a mount, or part of a container's image)"
    _sweep(place, found)
    before = _ours(place)
    stale = sorted(before - set(found))
    wrong = [name for name in sorted(found) if not _has(place, name, found[name], ids)]
    if not stale and not wrong and before == set(found):
        return Placed(place.path, changed=False, remark=remark)
    # Listed before they are written: after a crash in between, the next run knows what to remove.
    place.replace(_OURS, json.dumps(sorted(before | set(found))).encode(), 0o600)
    for name in wrong:
        _at(place, name, partial(_put, data=found[name], ids=ids), make=0o755)
    for name in stale:
        with suppress(FileNotFoundError):
            _at(place, name, HeldFolder.remove)
    place.replace(_OURS, json.dumps(sorted(found)).encode(), 0o600)
    return Placed(place.path, changed=True, remark=remark)


def is_exactly(folder: HeldFolder, found: Mapping[str, bytes], ids: Ids | None) -> bool:
    """Whether `folder` holds the files `found` and nothing else, each with its owner and mode."""
    below: dict[str, dict[str, bytes]] = {}
    for name, data in found.items():
        first, _, rest = name.partition("/")
        below.setdefault(first, {})[rest] = data
    if set(folder.names()) != set(below):
        return False
    return all(_is(folder, first, rest, ids) for first, rest in below.items())


def _is(folder: HeldFolder, first: str, rest: Mapping[str, bytes], ids: Ids | None) -> bool:
    if "" in rest:
        return _has(folder, first, rest[""], ids)
    try:
        with folder.inside(first) as deeper:
            return is_exactly(deeper, rest, ids)
    except OSError:
        return False


def _at(folder: HeldFolder, name: str, act: Callable[[HeldFolder, str], T], make: int | None = None) -> T:
    """What `act` returns for the folder that holds the file `name`, a relative path, and the file's last name."""
    first, *rest = PurePosixPath(name).parts
    if not rest:
        return act(folder, first)
    with folder.inside(first, make=make) as deeper:
        return _at(deeper, "/".join(rest), act, make)


def _put(folder: HeldFolder, name: str, data: bytes, ids: Ids | None) -> None:
    folder.replace(name, data, 0o400, ids)


def _ours(place: HeldFolder) -> set[str]:
    try:
        listed = json.loads(place.read(_OURS, limits.RECORD) or b"")
    except ValueError:
        return set()
    # The owner of the folder can write this list: a name in it must not lead out of the folder.
    return (
        {name for name in listed if isinstance(name, str) and is_relative(name)} if isinstance(listed, list) else set()
    )


def _sweep(place: HeldFolder, found: Mapping[str, bytes]) -> None:
    """Remove the unfinished files of killed processes."""

    def sweep(folder: HeldFolder, _last: str) -> None:
        for name in filter(UNFINISHED.fullmatch, folder.names()):
            folder.remove(name)

    for folder in {str(PurePosixPath(name).parent) for name in found}:
        with suppress(OSError):
            _at(place, f"{folder}/{_OURS}" if folder != "." else _OURS, sweep)


def _has(folder: HeldFolder, name: str, data: bytes, ids: Ids | None) -> bool:
    owner = ids[0] if ids else os.geteuid()

    def same(folder: HeldFolder, last: str) -> bool:
        state = folder.status(last)
        if state is None or (stat.S_IMODE(state.st_mode), state.st_uid) != (0o400, owner):
            return False
        return folder.read(last, len(data)) == data

    try:
        return _at(folder, name, same)
    except OSError:
        return False
