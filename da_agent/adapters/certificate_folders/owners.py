"""Whether other users can change the way to a folder in which the agent, as root, makes links and files."""

import os
import stat
from pathlib import Path

from da_agent.errors import NodeBroken

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def check_way(top: Path, place: Path) -> None:
    """Raise NodeBroken unless each folder between `top` and `place` is a folder that the agent's user alone can change.

    `top` itself, which the node's admin chose, and `place` are not examined. May raise OSError.
    """
    for folder in reversed(place.parents):
        if folder == top or not folder.is_relative_to(top) or not os.path.lexists(folder):
            continue
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode):
            raise NodeBroken(f"cannot put the certificates into {place}: {folder} is not a folder; move it away")
        if status.st_uid not in (0, os.geteuid()) or status.st_mode & _OTHERS_WRITE:
            raise NodeBroken(
                f"cannot put the certificates into {place}: another user can change {folder}; run chown root {folder}"
                f" and chmod go-w {folder}, or name another folder"
            )
