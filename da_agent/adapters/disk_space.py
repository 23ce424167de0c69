"""The room on a node's disks for a release that is about to be fetched and staged."""

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
    """Looks at the disks of one node."""

    def __init__(self, paths: Paths, blobs: ports.Blobs) -> None:
        self._blobs = blobs
        self._folders = {
            Place.RELEASE: paths.releases,
            Place.UNPACKED: paths.wheel_cache,
            Place.BLOBS: paths.blobs,
        }

    def require(self, release: Release, unpacked: Collection[Wheel]) -> None:
        """NodeBroken, naming the folder and the missing bytes, unless the rest of the release fits.

        `unpacked` are the wheels of a release that is staged here already.
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
    """Bytes on the disk of what is in a wheel; an estimate for a file of `size` bytes that is none."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            return disk_space.on_disk(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        # Whoever installs it says what is wrong with it.
        return disk_space.SWELLING * size
