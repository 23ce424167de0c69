"""Virtual environments from blobs: offline, with every hash checked and files hard-linked from uv's cache."""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.utils import parse_wheel_filename

from da_agent import files, ports, processes
from da_agent.adapters.packaging import archives, complaints, tools
from da_agent.adapters.packaging.wheels import blob
from da_agent.domain.node import disk_space
from da_agent.domain.node.paths import Paths
from da_agent.domain.packages import overlaps as domain
from da_agent.domain.packages.overlaps import Overlap
from da_agent.domain.packages.wheels import Wheel
from da_agent.domain.store.blobs import Blob
from da_agent.errors import AgentError, Corrupt, Invalid, NodeBroken, NotHere, ReleaseBroken

PATIENCE = 30 * 60.0
"""Seconds for one step."""

_ORIGIN = "direct_url.json"
"""The file that records where a package was installed from: here, the wheel's path on this node."""

_OFFLINE = ("--quiet", "--no-config", "--offline", "--no-python-downloads")


class UvEnvironments:
    """Implements ports.Environments with uv. `python` is the web server's Python; all environments are for it.

    With ten wheels: 0.1 s the first time, 0.01 s when the cache has them.
    """

    def __init__(
        self, python: Path, blobs: ports.Blobs, paths: Paths, *, uv: Path | None = None, patience: float = PATIENCE
    ) -> None:
        self._python = python
        self._blobs = blobs
        self._paths = paths
        self._uv = uv
        self._patience = patience

    def build(self, wheels: Sequence[Wheel], into: Path, overlaps: Sequence[Overlap] = ()) -> None:
        with files.on_this_node(f"make an environment at {into}", into.parent):
            into.parent.mkdir(parents=True, exist_ok=True)
            self._sweep({wheel.blob.sha256 for wheel in wheels})
            links = [self._link(wheel) for wheel in wheels]
            # uv would trust the package list of an unfinished environment.
            if into.is_dir():
                shutil.rmtree(into)
            self._run(["venv", "--python", self._python, into], into)
            if wheels:
                try:
                    self._install(wheels, links, into, overlaps)
                except Corrupt:
                    self._drop_damaged(wheels, links)
                    raise

    def require_installable(self, wheels: Sequence[Wheel], into: Path, overlaps: Sequence[Overlap]) -> None:
        """Build the environment as a node does. Invalid, naming the package, when no node could, or when two
        distributions own one file and are not in `overlaps`.
        """
        with files.on_this_node(f"make an environment at {into}", into.parent):
            listings = archives.listings([self._link(wheel) for wheel in wheels])
        names = [wheel.name for wheel in wheels]
        if found := list(domain.mistakes(dict(zip(names, listings, strict=True)), overlaps)):
            raise Invalid(found)
        try:
            self.build(wheels, into, overlaps)
        except Corrupt:
            raise
        except ReleaseBroken as broken:
            raise Invalid(f"cannot install the packages: {self._without_paths(str(broken), into)}") from broken

    def _without_paths(self, text: str, into: Path) -> str:
        """uv's reason with the names of files instead of their paths on this machine."""
        reason = text.removeprefix(f"cannot make an environment at {into}: ")
        return re.sub(rf"(?:file://)?{re.escape(str(self._links))}/[0-9a-f]{{64}}/", "", reason)

    def forget(self) -> None:
        with files.on_this_node(f"look through {self._links}"):
            gone = self._forgotten() if self._links.is_dir() else []
            names = sorted({parse_wheel_filename(link.name)[0] for link in gone})
            if names:
                # This also drops other versions of a name; uv unpacks them again when they are needed.
                self._run(["cache", "clean", *names], self._links)
            for link in gone:
                shutil.rmtree(link.parent, ignore_errors=True)

    def _install(self, wheels: Sequence[Wheel], links: Sequence[Path], into: Path, overlaps: Sequence[Overlap]) -> None:
        """Install the wheels. They contain their bytecode, so nothing is compiled here."""
        link_of = dict(zip(wheels, links, strict=True))
        first, later = domain.order(wheels, overlaps)
        if first:
            self._uv_pip("sync", {wheel: link_of[wheel] for wheel in first}, into)
        for wheel in later:
            _clear(link_of[wheel], into)
            self._uv_pip("install", {wheel: link_of[wheel]}, into)
        for origin in into.glob(f"lib/python*/site-packages/*.dist-info/{_ORIGIN}"):
            _forget(origin)

    def _uv_pip(self, command: str, links: Mapping[Wheel, Path], into: Path) -> None:
        lines = [f"{wheel.name} @ {link.as_uri()} --hash=sha256:{wheel.blob.sha256}\n" for wheel, link in links.items()]
        lock = into / "requirements.txt"
        lock.write_text("".join(lines), encoding="utf-8")
        options = ["--no-index", "--no-build", "--require-hashes", "--link-mode", "hardlink"]
        given = [lock] if command == "sync" else ["--no-deps", "--requirement", lock]
        self._run(["pip", command, *options, "--python", into / "bin" / "python", *given], into)
        lock.unlink()

    def _drop_damaged(self, wheels: Sequence[Wheel], links: Sequence[Path]) -> None:
        """Remove the blobs and links of wheels that the disk has damaged, so that the next try fetches them again."""
        for wheel, link in zip(wheels, links, strict=True):
            if blob(link) != wheel.blob:
                shutil.rmtree(link.parent, ignore_errors=True)
                self._blobs.remove(wheel.blob.sha256)

    def _link(self, wheel: Wheel) -> Path:
        """A hard link (or copy) of the blob under the wheel's file name; NodeBroken when the blob is missing.

        The link stays: uv recognises what it has unpacked by path and change time.
        """
        link = self._links / wheel.blob.sha256 / wheel.filename
        if not self._blobs.has(wheel.blob):
            raise NodeBroken(f"cannot install {wheel.filename}: this node does not have its bytes yet")
        if not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            kept = self._blobs.path(wheel.blob)
            try:
                link.hardlink_to(kept)
            except OSError:
                # The blob is on another file system, or the file system has no hard links.
                unfinished = link.with_suffix(".new")
                shutil.copyfile(kept, unfinished)
                unfinished.replace(link)
        return link

    def _sweep(self, wanted: set[str]) -> None:
        """Remove links of unwanted wheels whose blobs the node has removed: the links would keep their bytes."""
        for link in self._forgotten() if self._links.is_dir() else ():
            if link.parent.name not in wanted:
                shutil.rmtree(link.parent, ignore_errors=True)

    def _forgotten(self) -> list[Path]:
        found = (link for folder in self._links.iterdir() for link in folder.glob("*.whl"))
        return [link for link in found if not self._blobs.has(Blob(link.parent.name, link.stat().st_size))]

    @property
    def _links(self) -> Path:
        return self._paths.agent / "wheels"

    def _run(self, arguments: Sequence[str | Path], into: Path) -> None:
        program = self._program()
        try:
            outcome = processes.run(
                [program, *arguments, *_OFFLINE, "--cache-dir", self._paths.wheel_cache],
                # The agent's variables are withheld: an index or a proxy in one must not change what is installed.
                {"PATH": os.defpath, "HOME": str(self._paths.agent), "LC_ALL": "C.UTF-8"},
                folder=into.parent,
                patience=self._patience,
            )
        except (FileNotFoundError, PermissionError) as error:
            raise NodeBroken(f"cannot run {program}: {files.complaint(error)}") from error
        if outcome.code is None:
            raise NodeBroken(f"cannot make an environment at {into}: not finished after {self._patience / 60:.0f} min")
        if not outcome.well:
            raise self._error(outcome.output, into)

    def _program(self) -> Path:
        try:
            return self._uv or tools.uv_program()
        except NotHere as error:
            raise NodeBroken(str(error)) from error

    def _error(self, output: str, into: Path) -> AgentError:
        reason = complaints.reason(output)
        if complaints.disk_full(output):
            fullest = min((into.parent, self._paths.wheel_cache), key=lambda folder: files.disk(folder).free)
            return NodeBroken(f"cannot make an environment at {into}: {files.full(fullest, disk_space.BLOCK)}")
        if "Hash mismatch" in output:
            return Corrupt(f"cannot make an environment at {into}: {reason}")
        if "No interpreter found" in output or "Failed to inspect Python" in output or "Permission denied" in output:
            return NodeBroken(f"cannot make an environment at {into} for {self._python}: {reason}")
        return ReleaseBroken(f"cannot make an environment at {into}: {reason}")


def _clear(link: Path, into: Path) -> None:
    """Remove the files that the wheel will bring, and all bytecode of its modules: that of another wheel must not
    stay beside a source of this one.
    """
    (listing,) = archives.listings([link])
    site = next(into.glob("lib/python*/site-packages"))
    for path in domain.files(listing):
        place = site / path.removeprefix(domain.SITE) if path.startswith(domain.SITE) else into / path
        if place.is_file() or place.is_symlink():
            place.unlink()
        bytecode = domain.bytecode_of(place.name)
        if bytecode is not None and (folder := place.parent / "__pycache__").is_dir():
            for each in folder.iterdir():
                if each.name.startswith(bytecode):
                    each.unlink()


def _forget(origin: Path) -> None:
    """Remove `origin`, which holds a path of this node, so that `pip freeze` lists names and versions on every node."""
    record = origin.with_name("RECORD")
    lines = record.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(f"{origin.parent.name}/{_ORIGIN},".encode())]
    # A new file, because the old one may be a hard link into uv's cache.
    new = record.with_suffix(".new")
    new.write_bytes(b"".join(kept))
    new.chmod(0o644)
    new.replace(record)
    origin.unlink()
