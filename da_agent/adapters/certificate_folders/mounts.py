"""Certificate folders that cannot be moved. Each file is replaced atomically, but the set of files is not."""

import json
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from da_agent import files
from da_agent.domain.certificates.folders import Placed

_OURS = ".da-agent.json"
"""The file that lists the agent's files; files of other programs stay."""

_UNFINISHED = ".da-agent.new."


def fill(place: Path, found: Mapping[str, bytes], ids: tuple[int, int] | None) -> Placed:
    """Write the files `found` into the folder `place`, and remove the agent's other files from it."""
    remark = "file by file, because this folder cannot be moved (a mount, or part of a container's image)"
    for leftovers in place.rglob(f"{_UNFINISHED}*"):
        leftovers.unlink(missing_ok=True)
    before = _ours(place)
    stale = sorted(before - set(found))
    wrong = [name for name in sorted(found) if not _has(place / name, found[name], ids)]
    if not stale and not wrong and before == set(found):
        return Placed(place, changed=False, remark=remark)
    # Listed before they are written: after a crash in between, the next run knows what to remove.
    files.replace(place / _OURS, json.dumps(sorted(before | set(found))).encode())
    for name in wrong:
        (place / name).parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        unfinished = (place / name).with_name(f"{_UNFINISHED}{secrets.token_hex(6)}")
        write(unfinished, found[name], ids)
        unfinished.replace(place / name)
    for name in stale:
        (place / name).unlink(missing_ok=True)
    for folder in {(place / name).parent for name in wrong}:
        files.sync_directory(folder)
    files.replace(place / _OURS, json.dumps(sorted(found)).encode())
    return Placed(place, changed=True, remark=remark)


def write(path: Path, data: bytes, ids: tuple[int, int] | None) -> None:
    """Write the new file `path`, owned by `ids` (user, group) if given. Its mode is 0400 from the start."""
    files.write(path, [data], 0o400)
    if ids:
        os.chown(path, *ids)


def _ours(place: Path) -> set[str]:
    try:
        return set(json.loads((place / _OURS).read_bytes()))
    except (OSError, ValueError):
        return set()


def _has(path: Path, data: bytes, ids: tuple[int, int] | None) -> bool:
    try:
        state = path.lstat()
        owner = ids[0] if ids else os.geteuid()
        return (stat.S_IMODE(state.st_mode), state.st_uid) == (0o400, owner) and path.read_bytes() == data
    except OSError:
        return False
