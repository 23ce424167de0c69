"""Which file system a path lies on, and whether a lock there keeps out other machines."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mount:
    """A line of /proc/self/mountinfo: the kind of file system, where it is mounted, and its options."""

    kind: str
    point: str
    options: frozenset[str] = frozenset()


UNKNOWN = Mount("", "/")


def mount_of(mountinfo: str, path: str) -> Mount:
    """The mount of the absolute `path`, from the text of /proc/self/mountinfo (see proc(5)); UNKNOWN without any."""
    found = Mount("", "")
    for line in mountinfo.splitlines():
        mount = _mount(line)
        # Of two mounts on one path, the later one hides the earlier.
        if mount is not None and len(mount.point) >= len(found.point) and _holds(mount.point, path):
            found = mount
    return found if found.point else UNKNOWN


def _mount(line: str) -> Mount | None:
    before, separator, after = line.partition(" - ")
    place, kind = before.split(), after.split()
    if not separator or len(place) < 6 or len(kind) < 3:
        return None
    point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), place[4])
    return Mount(kind[0], point, frozenset(f"{place[5]},{kind[2]}".split(",")))


def _holds(point: str, path: str) -> bool:
    return path == point or path.startswith(point.rstrip("/") + "/")


_SHARED_FUSE = frozenset({"fuse.ceph", "fuse.ceph-fuse", "fuse.glusterfs", "fuse.juicefs"})
"""File systems in user space whose servers keep flock for all clients. Others keep it in the kernel of each machine,
as sshfs and bindfs do, and lose updates."""

_LOCAL_KINDS = re.compile(r"fuse(\..*)?|9p|virtiofs|vboxsf|prl_fs")
"""Besides: what a virtual machine shares with its host. QEMU's 9p grants every lock; virtiofs keeps locks in the guest
by default."""

_LOCAL_OPTIONS = {
    "nolock": "lock",
    "local_lock=all": "local_lock=none",
    "local_lock=flock": "local_lock=none",
    "nobrl": "brl",
    "localflock": "flock",
    "localflocks": "shared locks",
}
"""Options (of NFS, SMB, Lustre, GFS2 and OCFS2) that keep flock on this machine, and what to mount with instead.
local_lock=posix keeps only other locks here."""


def local_locks(mount: Mount) -> str | None:
    """Why a lock on this mount does not keep out other machines, and the remedy; None when nothing speaks against it.

    A disk of this machine is no obstacle: no other machine writes to it.
    """
    if _LOCAL_KINDS.fullmatch(mount.kind) and mount.kind not in _SHARED_FUSE:
        return f"locks on {mount.point} ({mount.kind}) hold on this machine alone: two machines would lose updates"
    for option in sorted(mount.options & _LOCAL_OPTIONS.keys()):
        return (
            f"locks on {mount.point} ({mount.kind}, mounted with {option}) hold on this machine alone: two machines"
            f" would lose updates. Mount it with {_LOCAL_OPTIONS[option]}"
        )
    return None
