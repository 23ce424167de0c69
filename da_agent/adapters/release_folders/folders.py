"""The releases on this node's disk, and the switch between them."""

import os
import shutil
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import msgspec

from da_agent import files, ports
from da_agent.domain import records
from da_agent.domain.certificates import placed_files
from da_agent.domain.config.settings import Settings
from da_agent.domain.node.paths import Paths, Staged
from da_agent.domain.packages.overlaps import Overlap
from da_agent.domain.packages.wheels import Wheel
from da_agent.domain.release.releases import Release
from da_agent.errors import AgentError, Corrupt, Invalid, NodeBroken, NotFound, ReleaseBroken

Build = Callable[[Sequence[Wheel], Path, Sequence[Overlap]], None]
Render = Callable[[Release, Settings, Path], None]
RequireRoom = Callable[[Release, Collection[Wheel]], None]


class _Entry(msgspec.Struct, array_like=True, frozen=True):
    """The state of a file when it was staged: relative path, size in bytes, modification time in nanoseconds."""

    path: str
    size: int
    modified: int


class ReleaseFolders:
    """Implements ports.Installation below one root."""

    def __init__(
        self,
        paths: Paths,
        blobs: ports.Blobs,
        *,
        build: Build,
        render: Render,
        require_room: RequireRoom,
        group: int | None,
    ) -> None:
        """`build` makes a Python environment, as ports.Environments says; `render` writes the web server's files.

        `require_room` gets a release and the wheels of one that is staged already; it raises NodeBroken unless the
        release fits on the disk. `group` is the group of the web user, None when everything runs as one user.
        """
        self._paths = paths
        self._blobs = blobs
        self._build = build
        self._render = render
        self._require_room = require_room
        self._group = group

    def current(self) -> int | None:
        try:
            name = self._paths.current.readlink().name
        except OSError:
            return None
        with files.on_this_node("look at the live release"):
            return int(name) if name.isdigit() and (self._paths.releases / name).is_dir() else None

    def staged(self) -> frozenset[int]:
        try:
            names = [entry.name for entry in os.scandir(self._paths.releases) if entry.name.isdigit()]
        except FileNotFoundError:
            return frozenset()
        return frozenset(int(name) for name in names if Staged(self._paths.release(int(name))).manifest.is_file())

    def load(self, number: int) -> Release:
        manifest = Staged(self._paths.release(number)).manifest
        try:
            data = manifest.read_bytes()
        except FileNotFoundError:
            raise NotFound(f"release {number} is not staged on this node") from None
        except OSError as error:
            raise NodeBroken(f"cannot read {manifest}: {error.strerror}") from error
        return records.decode(Release, data, str(manifest))

    def verify(self, number: int) -> None:
        self.load(number)
        root = self._paths.release(number)
        inventory = root / "inventory.json"
        try:
            entries = msgspec.json.decode(inventory.read_bytes(), type=list[_Entry])
        except (OSError, msgspec.DecodeError) as error:
            raise Corrupt(f"cannot read {inventory}: {error}") from error
        for entry in entries:
            path = f"{root}/{entry.path}"
            try:
                status = os.lstat(path)
            except OSError as error:
                raise Corrupt(f"{path} is gone: {error.strerror}") from error
            if (status.st_size, status.st_mtime_ns) != (entry.size, entry.modified):
                raise Corrupt(f"{path} was changed after release {number} was staged")

    def require_room(self, release: Release) -> None:
        current = self.current()
        unpacked: tuple[Wheel, ...] = ()
        with suppress(AgentError):
            unpacked = () if current is None else self.load(current).contents.wheels
        self._require_room(release, unpacked)

    def stage(self, release: Release, settings: Settings) -> None:
        folder = self._paths.release(release.number)
        self.require_room(release)
        try:
            with files.on_this_node(f"stage release {release.number} in {folder}", folder):
                self._discard(folder)
                folder.mkdir(parents=True, mode=0o700)
                self._open(folder)
                self._fill(release, settings, Staged(folder))
        except NodeBroken:
            # The unfinished folder takes room. If there was too little, require_room says how much is missing.
            with suppress(OSError):
                self._discard(folder)
            self.require_room(release)
            raise

    def switch(self, number: int) -> None:
        current = self._paths.current
        new = self._paths.root / ".current.new"
        try:
            self._links()
            new.unlink(missing_ok=True)
            new.symlink_to(f"releases/{number:010d}")
            new.replace(current)
            files.sync_directory(self._paths.root)
        except OSError as error:
            raise NodeBroken(f"cannot switch {current} to release {number}: {files.complaint(error)}") from error

    def needless(self, keep: frozenset[int], before: datetime) -> tuple[int, ...]:
        with files.on_this_node(f"look through {self._paths.releases}"):
            return tuple(
                sorted(int(folder.name) for folder in self._unused(keep) if folder.stat().st_mtime < before.timestamp())
            )

    def remove(self, number: int) -> None:
        folder = self._paths.release(number)
        with files.on_this_node(f"remove {folder}"):
            self._discard(folder)

    def sweep(self, keep: frozenset[int]) -> None:
        for folder in self._unused(keep):
            self.remove(int(folder.name))

    def _unused(self, keep: frozenset[int]) -> list[Path]:
        stay = keep | {self.current()}
        folders = [folder for folder in self._folders() if int(folder.name) not in stay]
        used = self._used() | _pinned(self._paths.web) if folders else set()
        return [folder for folder in folders if folder.name not in used]

    def _used(self) -> set[str]:
        # Imported here: psutil is not needed just to ask which release is live.
        from da_agent.adapters.release_folders import uses

        staged = {f"{number:010d}": Staged(self._paths.release(number)).manifest for number in self.staged()}
        at = {name: manifest.stat().st_mtime for name, manifest in staged.items()}
        return uses.used(self._paths.releases, at, self._group)

    def _fill(self, release: Release, settings: Settings, staged: Staged) -> None:
        contents = release.contents
        self._copy(self._blobs.path(contents.config), staged.config, 0o440 if self._group is not None else 0o400)
        staged.certificates.mkdir(mode=0o700)
        for name, data in self._certificates(release).items():
            target = staged.certificates / name
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            files.write(target, [data], 0o400)
        self._build(contents.wheels, staged.environment, settings.overlaps)
        self._render(release, settings, staged.root)
        entries = list(_protect(str(staged.root), "", (f"{staged.certificates.name}/", staged.config.name)))
        inventory = staged.root / "inventory.json"
        files.write(inventory, [msgspec.json.encode(entries)], 0o444)
        # All else reaches the disk before the manifest: a release with a manifest is whole, also after a power cut.
        os.sync()
        files.replace(staged.manifest, records.encode(release), 0o444)

    def _certificates(self, release: Release) -> dict[str, bytes]:
        """The files to stage. ReleaseBroken for a release of an older agent, or a forged one, with unreadable files."""
        found = {file.name: self._blobs.path(file.blob).read_bytes() for file in release.contents.certificates}
        try:
            return placed_files.placed(found)
        except Invalid as refused:
            raise ReleaseBroken(f"cannot stage release {release.number}: {refused}") from refused

    def _open(self, folder: Path) -> None:
        """Let the web user's group, and no other user, read `folder`."""
        if self._group is not None:
            os.chown(folder, -1, self._group)
            folder.chmod(0o750)

    def _copy(self, source: Path, target: Path, mode: int) -> None:
        shutil.copyfile(source, target)
        if self._group is not None:
            os.chown(target, -1, self._group)
        target.chmod(mode)

    def _links(self) -> None:
        """Links at the paths that docassemble's settings and admins use; they follow `current`."""
        for path, target in (
            (self._paths.root / "config.yml", Path("current/config.yml")),
            (self._paths.root / "local", Path("current/local")),
        ):
            # A real file or folder at this path is not the agent's: it stays.
            if path.is_symlink() and path.readlink() != target:
                path.unlink()
            if not path.is_symlink() and not path.exists():
                path.symlink_to(target)

    def _folders(self) -> list[Path]:
        try:
            return [Path(entry.path) for entry in os.scandir(self._paths.releases) if entry.name.isdigit()]
        except FileNotFoundError:
            return []

    def _discard(self, folder: Path) -> None:
        """Remove the manifest, then the folder: a release that is half removed must not count as staged."""
        if not folder.exists():
            return
        for current, _, _ in os.walk(folder):
            Path(current).chmod(0o700)
        Staged(folder).manifest.unlink(missing_ok=True)
        shutil.rmtree(folder)


def _protect(folder: str, above: str, keep: tuple[str, ...]) -> Iterator[_Entry]:
    """Make every file in `folder` read-only, and yield its entry. Names that begin with one of `keep` keep their modes.

    Folders stay writable for their owner, so that it can remove the release later. Each of the tens of thousands of
    files costs one stat.
    """
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            name = above + entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from _protect(entry.path, f"{name}/", keep)
                continue
            status = entry.stat(follow_symlinks=False)
            mode = stat.S_IMODE(status.st_mode)
            # A file may be hard-linked into other releases and the cache: chmod only when the mode differs.
            if not entry.is_symlink() and (mode & 0o222 or mode & 0o444 != 0o444) and not name.startswith(keep):
                Path(entry.path).chmod((mode | 0o444) & ~0o222)
            yield _Entry(name, status.st_size, status.st_mtime_ns)


def _pinned(web: Path) -> set[str]:
    """Names of the releases that the web server's processes will use when they start."""
    try:
        return {Path(entry.path).readlink().name for entry in os.scandir(web) if entry.is_symlink()}
    except FileNotFoundError:
        return set()
