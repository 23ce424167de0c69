"""Certificate folders as links: to the live release, or to a set of copies.

A link to `current/certs` changes with the switch itself, so that such a folder is never out of date. A set is complete
and on disk before a link names it. It stays while any link names it, even at a place that is no longer configured.
"""

import json
import os
import pwd
import secrets
import shutil
import stat
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from da_agent import files
from da_agent.adapters.certificate_folders import mounts, owners, renames, sources
from da_agent.domain.certificates import file_names
from da_agent.domain.certificates.folders import Placed, Places
from da_agent.domain.node.certificate_places import AllowedFolders
from da_agent.domain.node.paths import Staged
from da_agent.domain.store.inboxes import is_temporary
from da_agent.errors import Invalid, NodeBroken

_KINDS = (*file_names.PEM, *file_names.UNREAD, ".cer")


class LinkedFolders:
    """Implements ports.CertificateFolders."""

    def __init__(self, allowed: AllowedFolders) -> None:
        self._allowed, paths = allowed, allowed.paths
        self._sets = paths.certificate_sets
        self._links = paths.certificate_links
        self._live = Staged(paths.current).certificates

    def read(self, folder: Path) -> Mapping[str, bytes] | None:
        with files.on_this_node(f"read the certificates in {folder}"):
            return sources.read(folder, self._allowed) if folder.is_dir() else None

    def follow(self, places: Places) -> tuple[Placed, ...]:
        with files.on_this_node(f"put the certificates into {places.install}"):
            found = _read(self._live)
            if not found and os.path.lexists(places.install) and not _leads_to(places.install, self._live):
                return ()
            return self._place(found, places, self._live)

    def show(self, certificates: Mapping[str, bytes], places: Places) -> tuple[Placed, ...]:
        with files.on_this_node(f"put the certificates into {places.install}"):
            return self._place(certificates, places, self._set(certificates, places.install, None))

    def _place(self, found: Mapping[str, bytes], places: Places, source: Path) -> tuple[Placed, ...]:
        # Recorded before any link is made: after a crash in between, the next run still knows which sets are in use.
        self._remember(place for place in (places.install, places.web) if place is not None)
        placed = [self._lay(source, places.install, found, None)]
        if places.web is not None and (found or places.web.is_symlink()):
            own = source if places.owner is None else self._set(found, places.web, places.owner)
            placed.append(self._lay(own, places.web, found, places.owner))
        self._sweep()
        return tuple(placed)

    def _set(self, found: Mapping[str, bytes], place: Path, owner: str | None) -> Path:
        """A folder with exactly the files `found`: the current target of `place` when that is right, or a new one."""
        ids = _ids(owner)
        if place.is_symlink() and place.readlink().is_relative_to(self._sets) and _is_right(place, found, ids):
            return place.readlink()
        _make_public(self._sets)
        folder = self._sets / secrets.token_hex(8)
        for name in sorted(found):
            _make_folder((folder / name).parent, folder, ids)
            mounts.write(folder / name, found[name], ids)
        _make_folder(folder, folder, ids)
        for path in [folder, *(each for each in folder.rglob("*") if each.is_dir())]:
            files.sync_directory(path)
        files.sync_directory(self._sets)
        return folder

    def _lay(self, target: Path, place: Path, found: Mapping[str, bytes], owner: str | None) -> Placed:
        """Make `place` a link to `target` in one step, or fill the folder there when it cannot be replaced.

        Raises Invalid or NodeBroken when `place` holds anything other than certificates.
        """
        top = self._allowed.above(place)
        assert top is not None, place
        owners.check_way(top, place)
        renames.sweep(place)
        if _leads_to(place, target):
            return Placed(place, changed=False)
        if not place.is_symlink() and place.exists():
            _refuse_foreign(place)
        _make_public(place.parent)
        before = place.readlink() if place.is_symlink() else None
        placed = renames.link(place, target) or mounts.fill(place, found, _ids(owner))
        if before is None or before == self._live or before.is_relative_to(self._sets):
            return placed
        return replace(placed, remark=f"it was a link to {before}, which another program had made")

    def _remember(self, places: Iterable[Path]) -> None:
        before = self._remembered()
        kept = {place for place in before if place.is_symlink() and place.readlink().is_relative_to(self._sets)}
        now = kept | set(places)
        if now != before:
            _make_public(self._links.parent)
            files.replace(self._links, json.dumps(sorted(map(str, now))).encode())

    def _remembered(self) -> set[Path]:
        try:
            return set(map(Path, json.loads(self._links.read_bytes())))
        except (FileNotFoundError, ValueError):
            return set()

    def _sweep(self) -> None:
        """Remove sets to which no recorded link leads: unfinished and outdated ones."""
        used = {place.readlink() for place in self._remembered() if place.is_symlink()}
        if self._sets.is_dir():
            for folder in self._sets.iterdir():
                if folder not in used:
                    shutil.rmtree(folder)


def _read(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files.below(folder)}


def _leads_to(place: Path, target: Path) -> bool:
    return place.is_symlink() and place.readlink() == target


def _refuse_foreign(place: Path) -> None:
    """Raise when `place` holds anything other than certificates: a typo in config.yml must not replace /etc/ssl."""
    if not place.is_dir():
        raise NodeBroken(f"cannot put the certificates into {place}: it is not a folder; move it away")
    for path in place.rglob("*"):
        name = path.relative_to(place)
        if not (path.is_dir() or is_temporary(name.as_posix()) or path.name.endswith(_KINDS)):
            raise Invalid(
                f"cannot put the certificates into {place}: it holds more than certificates ({name}); move that file"
                " away, or name a folder of its own in config.yml"
            )


def _ids(owner: str | None) -> tuple[int, int] | None:
    if owner is None:
        return None
    try:
        user = pwd.getpwnam(owner)
    except KeyError as error:
        raise NodeBroken(f"cannot give certificates to {owner}: this machine has no such user") from error
    return user.pw_uid, user.pw_gid


def _make_public(path: Path) -> None:
    """Make a folder that the web user can traverse, whatever the umask."""
    if not path.is_dir():
        _make_public(path.parent)
        path.mkdir(exist_ok=True)
        path.chmod(0o755)


def _make_folder(path: Path, top: Path, ids: tuple[int, int] | None) -> None:
    if path.is_dir():
        return
    if path != top:
        _make_folder(path.parent, top, ids)
    path.mkdir(mode=0o700)
    if ids:
        os.chown(path, *ids)


def _is_right(folder: Path, found: Mapping[str, bytes], ids: tuple[int, int] | None) -> bool:
    owner = ids[0] if ids else os.geteuid()
    if not folder.is_dir() or _read(folder) != found:
        return False
    states = [(folder / name).stat() for name in found]
    return all((stat.S_IMODE(state.st_mode), state.st_uid) == (0o400, owner) for state in states)
