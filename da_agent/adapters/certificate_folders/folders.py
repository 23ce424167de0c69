"""Certificate folders as links: to the live release, or to a set of copies.

A link to `current/certs` changes with the switch itself, so that such a folder is never out of date. A set is complete
and on disk before a link names it. It stays while any link names it, even at a place that is no longer configured.
"""

import json
import os
import pwd
import secrets
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
from da_agent.held_folders import HeldFolder, Ids, held

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
        if (
            place.is_symlink()
            and place.readlink().is_relative_to(self._sets)
            and _is_right(place.readlink(), found, ids)
        ):
            return place.readlink()
        folder = self._sets / secrets.token_hex(8)
        with held(self._sets, make=0o755) as sets:
            # The folder is root's own, 0700, until all is in it.
            with sets.inside(folder.name, make=0o700):
                _fill(folder, found)
            if ids:
                _give(folder, ids)
            sets.sync()
        return folder

    def _lay(self, target: Path, place: Path, found: Mapping[str, bytes], owner: str | None) -> Placed:
        """Make `place` a link to `target` in one step, or fill the folder there when it cannot be replaced.

        Raises Invalid or NodeBroken when `place` holds anything other than certificates.
        """
        top = self._allowed.above(place)
        assert top is not None, place
        owners.check_way(top, place)
        with held(place.parent, make=0o755) as parent:
            return self._lay_in(parent, target, place, found, owner)

    def _lay_in(
        self, parent: HeldFolder, target: Path, place: Path, found: Mapping[str, bytes], owner: str | None
    ) -> Placed:
        renames.sweep(parent, place.name)
        before = parent.leads_to(place.name)
        if before == target:
            return Placed(place, changed=False)
        if before is None and parent.status(place.name) is not None:
            _refuse_foreign(place)
        placed = renames.link(parent, place.name, target)
        if placed is None:
            with parent.inside(place.name) as folder:
                placed = mounts.fill(folder, found, _ids(owner))
        if before is None or before == self._live or before.is_relative_to(self._sets):
            return placed
        return replace(placed, remark=f"it was a link to {before}, which another program had made")

    def _remember(self, places: Iterable[Path]) -> None:
        before = self._remembered()
        kept = {place for place in before if place.is_symlink() and place.readlink().is_relative_to(self._sets)}
        now = kept | set(places)
        if now != before:
            with held(self._links.parent, make=0o755) as folder:
                folder.replace(self._links.name, json.dumps(sorted(map(str, now))).encode(), 0o600)

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
                    files.remove_tree(folder)


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


def _ids(owner: str | None) -> Ids | None:
    if owner is None:
        return None
    try:
        user = pwd.getpwnam(owner)
    except KeyError as error:
        raise NodeBroken(f"cannot give certificates to {owner}: this machine has no such user") from error
    return user.pw_uid, user.pw_gid


def _fill(folder: Path, found: Mapping[str, bytes]) -> None:
    """Write the files `found` into `folder`, which no other user can enter."""
    for name in sorted(found):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        files.write(path, [found[name]], 0o400)
    for path in [folder, *(each for each in folder.rglob("*") if each.is_dir())]:
        files.sync_directory(path)


def _give(folder: Path, ids: Ids) -> None:
    """Give all that is in `folder` to another user, and `folder` last: until then that user cannot enter it."""
    for path in sorted(folder.rglob("*"), reverse=True):
        os.chown(path, *ids, follow_symlinks=False)
    os.chown(folder, *ids, follow_symlinks=False)


def _is_right(folder: Path, found: Mapping[str, bytes], ids: Ids | None) -> bool:
    try:
        with held(folder) as there:
            return mounts.is_exactly(there, found, ids)
    except OSError:
        return False
