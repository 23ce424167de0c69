"""The free space on a node's disks for a release that is to be fetched and staged."""

import zipfile
from collections.abc import Collection
from pathlib import Path

from da_agent import files, ports
from da_agent.domain.node import disk_space
from da_agent.domain.node.disk_space import Place
from da_agent.domain.node.paths import Paths
from da_agent.domain.packages.wheels import Wheel
from da_agent.domain.release.releases import Release
from da_agent.errors import NodeBroken


class DiskSpace:
    """Checks the free space on the disks of one node."""

    def __init__(self, paths: Paths, blobs: ports.Blobs) -> None:
        self._blobs = blobs
        self._folders = {
            Place.RELEASE: paths.releases,
            Place.UNPACKED: paths.wheel_cache,
            Place.BLOBS: paths.blobs,
        }

    def require(self, release: Release, unpacked: Collection[Wheel]) -> None:
        """NodeBroken, with the folder and the missing bytes, unless the missing part of the release fits.

        `unpacked` are the wheels of a release that is already staged on this node.
        """
        task = f"stage release {release.number}"
        with files.on_this_node(task):
            disks = {place: files.disk(folder) for place, folder in self._folders.items()}
            needed = disk_space.needs(
                release.contents,
                has=self._blobs.has,
                unpacked=unpacked,
                size=lambda wheel: unpacked_size(self._blobs.path(wheel.blob), wheel.blob.size),
                shared=disks[Place.RELEASE].device == disks[Place.UNPACKED].device,
            )
        shortages = disk_space.shortages(disks, needed)
        if shortages:
            raise NodeBroken(f"cannot {task}: {'; '.join(shortages)}")


def unpacked_size(wheel: Path, size: int) -> int:
    """Bytes on the disk of an unpacked wheel; an estimate from its `size` in bytes when the file is no wheel."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            return disk_space.on_disk(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        # The installation reports what is wrong with the file.
        return disk_space.SWELLING * size
