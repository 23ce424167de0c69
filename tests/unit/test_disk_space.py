"""Whether a release fits on a node's disks."""

import pytest

from da_agent.domain.node import disk_space
from da_agent.domain.node.disk_space import BLOCK, FOLDERS, OWN, SWELLING, Disk, Place
from da_agent.domain.packages.wheels import Wheel
from da_agent.domain.store.blobs import Blob
from tests.fake_nodes import contents

MB = 1_000_000


def wheel(name: str, size: int) -> Wheel:
    return Wheel(name, "1", f"{name}-1-py3-none-any.whl", Blob(f"{len(name):064x}", size))


ONE, OTHER = wheel("a", 10 * MB), wheel("bb", 20 * MB)
WHAT = contents(b"a: 1\n", (ONE, OTHER))
OURS = OWN + 2 * FOLDERS


@pytest.mark.parametrize(
    ("here", "unpacked", "shared", "expected"),
    [
        ((), (), True, (30 * MB + 5, SWELLING * 30 * MB, OURS)),
        ((ONE,), (), True, (20 * MB + 5, 50 * MB + SWELLING * 20 * MB, OURS)),
        ((ONE, OTHER), (), True, (5, 100 * MB, OURS)),
        ((ONE, OTHER), (ONE,), True, (5, 50 * MB, OURS)),
        ((ONE, OTHER), (ONE, OTHER), True, (5, 0, OURS)),
        # On a disk of its own a release has its own copy of everything.
        ((ONE, OTHER), (ONE, OTHER), False, (5, 0, OURS + 100 * MB)),
        ((ONE,), (), False, (20 * MB + 5, 50 * MB + SWELLING * 20 * MB, OURS + 50 * MB + SWELLING * 20 * MB)),
    ],
)
def test_what_a_release_still_needs(
    here: tuple[Wheel, ...], unpacked: tuple[Wheel, ...], shared: bool, expected: tuple[int, int, int]
) -> None:
    blobs = {each.blob for each in here}
    needed = disk_space.needs(WHAT, has=blobs.__contains__, unpacked=unpacked, size=lambda _: 50 * MB, shared=shared)
    assert tuple(needed[place] for place in (Place.BLOBS, Place.UNPACKED, Place.RELEASE)) == expected


@pytest.mark.parametrize(
    ("free", "total", "needed", "lack"),
    [
        (1000 * MB, 10_000 * MB, 900 * MB, None),
        (1000 * MB, 10_000 * MB, 901 * MB, "1.0 MB"),
        (50 * MB, 10_000 * MB, 1 * MB, "51.0 MB"),
        (50 * MB, 1000 * MB, 30 * MB, None),
        (50 * MB, 1000 * MB, 31 * MB, "1.0 MB"),
        # Whoever needs nothing may go on, however full it is.
        (0, 1000 * MB, 0, None),
    ],
)
def test_the_last_of_a_disk_is_left_to_others(free: int, total: int, needed: int, lack: str | None) -> None:
    sentence = disk_space.shortage(Disk("/srv", 1, free, total), needed)
    assert (sentence is None) == (lack is None)
    if sentence is not None:
        assert f"the disk of /srv is full: {free // MB}" in sentence or free == 0
        assert f"about {lack} more are needed" in sentence


def test_places_on_one_disk_share_its_room_and_each_full_disk_is_named() -> None:
    needed = {Place.RELEASE: 6 * MB, Place.UNPACKED: 6 * MB, Place.BLOBS: 6 * MB}
    small = Disk("/releases", 1, 10 * MB, 10 * MB)
    one = {Place.RELEASE: small, Place.UNPACKED: Disk("/agent/uv", 1, 10 * MB, 10 * MB)}
    assert len(disk_space.shortages(one | {Place.BLOBS: Disk("/agent/blobs", 2, 10 * MB, 10 * MB)}, needed)) == 1
    apart = {Place.RELEASE: small, Place.UNPACKED: Disk("/agent/uv", 2, 10 * MB, 10 * MB)}
    assert disk_space.shortages(apart | {Place.BLOBS: Disk("/agent/blobs", 3, 10 * MB, 10 * MB)}, needed) == ()
    both = disk_space.shortages(apart | {Place.BLOBS: Disk("/agent/blobs", 3, 1 * MB, 1 * MB)}, needed)
    assert [sentence.split()[3] for sentence in both] == ["/agent/blobs"]


def test_a_quota_is_told_from_a_full_disk() -> None:
    disk = Disk("/srv", 1, 10 * MB, 100 * MB)
    assert "10.0 MB free, about 2.0 MB more" in disk_space.failed_write(disk, 12 * MB)
    assert "quota" in disk_space.failed_write(disk, 5 * MB)


def test_files_take_whole_blocks() -> None:
    assert disk_space.on_disk([0, 1, BLOCK, BLOCK + 1]) == 4 * BLOCK
