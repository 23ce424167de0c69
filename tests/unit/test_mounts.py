"""Is it seen from the kernel's table of mounts where inotify is blind?"""

import pytest

from da_agent.adapters.watches import changed_by_others, file_system

TABLE = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:21 / /proc rw,nosuid - proc proc rw
30 22 0:40 / /mnt/share rw shared:5 master:2 - nfs4 server:/export rw,vers=4.2
31 30 8:2 / /mnt/share/disk rw - xfs /dev/sdb rw
32 22 0:41 / /srv/with\040space rw - cifs //server/share rw
33 22 0:42 / /srv/twice rw - ext4 /dev/sdc rw
34 22 0:43 / /srv/twice rw - fuse.sshfs host: rw
""".strip()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/srv", "ext4"),
        ("/mnt/share", "nfs4"),
        ("/mnt/share/store/certs", "nfs4"),
        ("/mnt/shared", "ext4"),
        ("/mnt/share/disk/store", "xfs"),
        ("/srv/with space/store", "cifs"),
        ("/srv/twice", "fuse.sshfs"),
    ],
)
def test_a_path_lies_on_the_nearest_mount_and_of_two_on_one_place_on_the_later(path: str, kind: str) -> None:
    assert file_system(TABLE, path) == kind


def test_an_unknown_table_says_nothing() -> None:
    assert file_system("", "/srv") == ""


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "fuse", "fuse.s3fs", "ceph"])
def test_file_systems_that_others_write_to_are_compared_by_listings(kind: str) -> None:
    assert changed_by_others(kind)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs", ""])
def test_file_systems_of_this_machine_are_left_to_inotify(kind: str) -> None:
    assert not changed_by_others(kind)
