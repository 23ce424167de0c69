"""Is it seen from the kernel's table of mounts where inotify is blind, and where locks hold on one machine alone?"""

import pytest

from da_agent.adapters.watches import changed_by_others
from da_agent.domain.store.mounts import UNKNOWN, Mount, local_locks, mount_of

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
    assert mount_of(TABLE, path).kind == kind


def test_an_unknown_table_says_nothing() -> None:
    assert mount_of("", "/srv") == mount_of("damaged\n1 2 -\n", "/srv") == UNKNOWN
    assert local_locks(UNKNOWN) is None


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "fuse", "fuse.s3fs", "ceph"])
def test_file_systems_that_others_write_to_are_compared_by_listings(kind: str) -> None:
    assert changed_by_others(kind)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs", ""])
def test_file_systems_of_this_machine_are_left_to_inotify(kind: str) -> None:
    assert not changed_by_others(kind)


# ---- locks


LINES = {
    "sshfs": "34 22 0:43 / /srv rw,nosuid,nodev - fuse.sshfs web@host:/srv rw,user_id=0,group_id=0,allow_other",
    "bindfs": "86 66 0:40 / /srv rw,nosuid,nodev,relatime - fuse /disk rw,user_id=0,group_id=0,allow_other",
    "rclone": "34 22 0:43 / /srv rw - fuse.rclone remote: rw",
    "nolock": "30 22 0:40 / /srv rw,relatime - nfs host:/srv rw,vers=3,nolock,proto=tcp,local_lock=all,addr=10.0.0.1",
    "local flock": "30 22 0:40 / /srv rw - nfs host:/srv rw,vers=3,proto=tcp,local_lock=flock,addr=10.0.0.1",
    "local locks": "30 22 0:40 / /srv rw - nfs4 host:/srv rw,vers=4.2,local_lock=all",
    "smb": "30 22 0:40 / /srv rw - cifs //host/srv rw,vers=3.1.1,nobrl,addr=10.0.0.1",
    "lustre": "30 22 0:40 / /srv rw - lustre mgs@tcp:/fs rw,localflock,lazystatfs",
    "9p": "30 22 0:40 / /srv rw - 9p share rw,sync,dirsync,access=client,trans=virtio",
    "virtiofs": "30 22 0:40 / /srv rw - virtiofs share rw",
}
"""As the kernel shows mounts. That of bindfs was taken from a real one, the others follow their manuals."""


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_a_mount_whose_locks_hold_on_one_machine_is_named_with_the_reason(line: str) -> None:
    said = local_locks(mount_of(line, "/srv/store/.agent"))
    assert said is not None
    assert "/srv (" in said
    assert "hold on this machine alone" in said


def test_an_option_is_named_with_the_one_that_replaces_it() -> None:
    said = local_locks(mount_of(LINES["local flock"], "/srv"))
    assert said is not None
    assert said.endswith("Mount it with local_lock=none")


@pytest.mark.parametrize(
    "line",
    [
        "30 22 0:40 / /srv rw,relatime - nfs4 host:/srv rw,vers=4.2,hard,proto=tcp,local_lock=none,addr=10.0.0.1",
        "30 22 0:40 / /srv rw,relatime - nfs host:/srv rw,vers=3,hard,mountproto=tcp,local_lock=none,addr=10.0.0.1",
        "30 22 0:40 / /srv rw,relatime - nfs host:/srv rw,vers=3,local_lock=posix,addr=10.0.0.1",
        "30 22 0:40 / /srv rw - cifs //host/srv rw,vers=3.1.1,addr=10.0.0.1",
        "30 22 0:40 / /srv rw - ceph 10.0.0.1:/ rw,name=admin",
        "30 22 0:40 / /srv rw - fuse.glusterfs host:/vol rw,user_id=0,group_id=0",
        "30 22 0:40 / /srv rw - fuse.ceph-fuse ceph-fuse rw,user_id=0,group_id=0",
        "30 22 8:1 / /srv rw - ext4 /dev/sda1 rw",
        "30 22 0:40 / /srv rw - fuseblk /dev/sda1 rw,user_id=0,group_id=0",
    ],
)
def test_other_mounts_are_left_to_the_examination(line: str) -> None:
    assert local_locks(mount_of(line, "/srv/store")) is None


def test_what_is_mounted_below_a_shared_folder_counts_where_it_is() -> None:
    table = LINES["sshfs"] + "\n31 34 8:2 / /srv/disk rw - xfs /dev/sdb rw"
    assert mount_of(table, "/srv/disk/store") == Mount("xfs", "/srv/disk", frozenset({"rw"}))
    assert local_locks(mount_of(table, "/srv/diskless")) is not None
