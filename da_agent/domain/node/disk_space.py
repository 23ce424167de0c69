"""Whether a release fits on the disks of a node that serves meanwhile.

Uploads to docassemble go to the same disks, so the agent leaves a reserve. The unpacked size of a wheel is known once
the node has the wheel; before that it is estimated.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from da_agent.domain.packages.wheels import Wheel
from da_agent.domain.release.releases import Contents
from da_agent.domain.store.blobs import Blob
from da_agent.domain.units import amount

RESERVE = 100_000_000
"""Bytes that are left to others; on a small disk, a fiftieth of it."""

BLOCK = 4096
"""Bytes that a file takes on disk at the least."""

TENTH = 100_000
"""Bytes: the smallest step that shows in an amount of megabytes."""

SWELLING = 3
"""The factor by which a wheel grows when it is unpacked: docassemble's own grows from 300 to 950 MB."""

FOLDERS = 80_000
"""Bytes of an installed wheel that are shared with no other release: 20 MB for 252 packages."""

OWN = 500_000
"""Bytes of a release without packages: the bare environment, configuration, certificates, inventory."""


@dataclass(frozen=True, slots=True)
class Disk:
    """The disk that `folder` lies on, with `free` and `total` in bytes. `device` identifies the disk."""

    folder: str
    device: int
    free: int
    total: int

    def spare(self) -> int:
        """Bytes that the agent may write; negative when others have used part of the reserve."""
        return self.free - min(RESERVE, self.total // 50)


class Place(Enum):
    """What grows on a node while a release is fetched and staged."""

    BLOBS = "blobs"
    UNPACKED = "unpacked"
    RELEASE = "release"


def needs(
    contents: Contents,
    *,
    has: Callable[[Blob], bool],
    unpacked: Collection[Wheel],
    size: Callable[[Wheel], int],
    shared: bool,
) -> dict[Place, int]:
    """Bytes still to be written in each place. `unpacked` wheels take no more room where files are shared.

    `size` returns the unpacked size of a wheel that the node has. `shared`: releases lie on the same disk as the
    unpacked wheels, so their files are hard links.
    """
    known = set(unpacked)
    sizes = {
        wheel: size(wheel) if has(wheel.blob) else SWELLING * wheel.blob.size
        for wheel in contents.wheels
        if not shared or wheel not in known
    }
    own = OWN + FOLDERS * len(contents.wheels)
    return {
        Place.BLOBS: sum(blob.size for blob in contents.blobs() if not has(blob)),
        Place.UNPACKED: sum(size for wheel, size in sizes.items() if wheel not in known),
        Place.RELEASE: own if shared else own + sum(sizes.values()),
    }


def shortages(disks: Mapping[Place, Disk], needed: Mapping[Place, int]) -> tuple[str, ...]:
    """A sentence for each disk that would become full. Places on one disk share its free bytes."""
    found = []
    for device in dict.fromkeys(disk.device for disk in disks.values()):
        there = [place for place, disk in disks.items() if disk.device == device]
        sentence = shortage(disks[there[0]], sum(needed[place] for place in there))
        if sentence is not None:
            found.append(sentence)
    return tuple(found)


def shortage(disk: Disk, needed: int) -> str | None:
    """The sentence for a disk with too little room; None where `needed` bytes may be written."""
    lack = needed - disk.spare()
    return None if lack <= 0 or needed == 0 else full(disk, lack)


def failed_write(disk: Disk, needed: int) -> str:
    """The sentence for a disk on which a write of `needed` bytes failed."""
    if needed <= disk.free:
        return f"the disk of {disk.folder} is full, or its quota is: {amount(needed)} are needed; make room there"
    return full(disk, needed - disk.free)


def full(disk: Disk, lack: int) -> str:
    """What an admin must know at night: where, how much is free, and how much to remove."""
    # Rounded up to what is shown: an admin who frees that much must not be told of a little more.
    lack = -(-lack // TENTH) * TENTH if lack > TENTH else lack
    return (
        f"the disk of {disk.folder} is full: {amount(disk.free)} free, about {amount(lack)} more are needed; "
        "make room there"
    )


def on_disk(sizes: Iterable[int]) -> int:
    """Bytes that files of these sizes take on disk, in whole blocks."""
    return sum(-(-size // BLOCK) * BLOCK for size in sizes)
