"""Reading certificates from a folder that a configuration names or that another user can write.

The agent may run as root: a link in such a folder must not make it read a file elsewhere.
"""

import os
import stat
from dataclasses import replace
from pathlib import Path

from da_agent import files
from da_agent.domain import limits
from da_agent.domain.node.certificate_places import AllowedFolders
from da_agent.domain.node.paths import Paths
from da_agent.errors import Invalid


def read(folder: Path, allowed: AllowedFolders) -> dict[str, bytes]:
    """The files in `folder` and its subfolders by relative name.

    Invalid for a link that leads out of the allowed folders, and for files too large or too many to be certificates.
    May raise OSError.
    """
    names = files.below(folder)
    if len(names) > limits.CERTIFICATES:
        raise Invalid(
            f"cannot read {folder}: it has {len(names)} files, and a folder of certificates may have"
            f" {limits.CERTIFICATES}; check that it is the right folder"
        )
    real = _real(allowed)
    return {name: _bytes(folder / name, real) for name in names}


def _real(allowed: AllowedFolders) -> AllowedFolders:
    """The same folders by their real paths, to compare with the real paths of files."""
    return replace(
        allowed, paths=Paths(allowed.paths.root.resolve()), listed=tuple(each.resolve() for each in allowed.listed)
    )


def _bytes(path: Path, real: AllowedFolders) -> bytes:
    # Opened first: a link that is exchanged after the check would lead elsewhere. Without waiting for a pipe's writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    with os.fdopen(descriptor, "rb") as file:
        status, target = os.fstat(descriptor), Path(f"/proc/self/fd/{descriptor}").readlink()
        if not stat.S_ISREG(status.st_mode) or not real.may_read(target):
            raise Invalid(
                f"cannot read {path}: it leads to {target}, outside of the folders that this node allows; put the file"
                " itself there"
            )
        data = file.read(limits.CERTIFICATE + 1)
    if len(data) > limits.CERTIFICATE:
        raise Invalid(f"cannot read {path}: it is too large for a certificate; check that it is the right folder")
    return data
