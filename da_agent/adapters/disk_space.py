"""The free space on a node's disks for a release that is to be fetched and staged."""

import hashlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from da_agent import files, ports
from da_agent.domain.node import disk_space
from da_agent.domain.node.disk_space import Place
from da_agent.domain.node.paths import Paths
from da_agent.domain.packages.wheels import Wheel
from da_agent.domain.release.releases import Release
from da_agent.errors import NodeBroken, ReleaseBroken

Unpacked = Callable[[Sequence[Path]], Sequence[list[int] | str]]
"""The sizes in bytes of the files in each wheel, or why it must not be unpacked."""


class DiskSpace:
    """Checks the free space on the disks of one node."""

    def __init__(self, paths: Paths, blobs: ports.Blobs, unpacked: Unpacked) -> None:
        self._blobs = blobs
        self._unpacked = unpacked
        self._known: dict[Wheel, int] = {}
        self._folders = {
            Place.RELEASE: paths.releases,
            Place.UNPACKED: paths.wheel_cache,
            Place.BLOBS: paths.blobs,
        }

    def require(self, release: Release, unpacked: Collection[Wheel]) -> None:
        """NodeBroken, with the folder and the missing bytes, unless the missing part of the release fits.

        ReleaseBroken when a wheel is not within the limits for packages: it could unpack to any size.

        `unpacked` are the wheels of a release that is already staged on this node.
        """
        task = f"stage release {release.number}"
        with files.on_this_node(task):
            disks = {place: files.disk(folder) for place, folder in self._folders.items()}
            shared = disks[Place.RELEASE].device == disks[Place.UNPACKED].device
            self._learn([wheel for wheel in release.contents.wheels if not shared or wheel not in unpacked])
            needed = disk_space.needs(
                release.contents,
                has=self._blobs.has,
                unpacked=unpacked,
                size=self._known.__getitem__,
                shared=shared,
            )
        shortages = disk_space.shortages(disks, needed)
        if shortages:
            raise NodeBroken(f"cannot {task}: {'; '.join(shortages)}")

    def _learn(self, wheels: Collection[Wheel]) -> None:
        """Read the unpacked size of each of these wheels that the node has."""
        new = [wheel for wheel in wheels if wheel not in self._known and self._blobs.has(wheel.blob)]
        found = self._unpacked([self._blobs.path(wheel.blob) for wheel in new])
        for wheel, sizes in zip(new, found, strict=True):
            if not isinstance(sizes, str):
                self._known[wheel] = disk_space.on_disk(sizes)
            elif self._is_whole(wheel):
                raise ReleaseBroken(f"cannot install {wheel.filename}: {sizes.partition(': ')[2]}")
            else:
                # The disk has damaged it. The installation finds that out, and the node fetches the wheel again.
                self._known[wheel] = disk_space.SWELLING * wheel.blob.size

    def _is_whole(self, wheel: Wheel) -> bool:
        with self._blobs.path(wheel.blob).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == wheel.blob.sha256
