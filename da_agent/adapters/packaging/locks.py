"""uv's lock file (PEP 751) as values."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import Meta, Struct

from da_agent.domain import limits
from da_agent.domain.packages.wheels import LONGEST, NAME, WHEEL, Wheel
from da_agent.errors import Invalid


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file of a distribution: its URL, its sha256 and its size in bytes, 0 when the index does not tell."""

    filename: str
    url: str
    sha256: str
    size: int = 0


@dataclass(frozen=True, slots=True)
class Pick:
    """A distribution of the lock. A local one has neither wheels nor sdist: its wheel is already here."""

    name: str
    wheels: tuple[Artifact, ...]
    sdist: Artifact | None


def preferences(wheels: Iterable[Wheel]) -> str:
    """A lock file with the versions of `wheels`; uv prefers them when it finds this file at its output path."""
    wheels = list(wheels)
    packages = "".join(f'\n[[packages]]\nname = "{wheel.name}"\nversion = "{wheel.version}"\n' for wheel in wheels)
    return f'lock-version = "1.0"\ncreated-by = "da_agent"\n{packages or "packages = []"}\n'


Name = Annotated[str, Meta(pattern=rf"\A{NAME}\Z", max_length=LONGEST)]
Line = Annotated[str, Meta(pattern=r"\A\S+\Z")]
"""Becomes part of a line in a requirements file."""


class _File(Struct, frozen=True):
    url: Line | None = None
    path: Line | None = None
    name: Line | None = None
    size: Annotated[int, Meta(ge=0)] | None = None
    hashes: dict[str, Annotated[str, Meta(pattern=r"\A[0-9a-f]+\Z")]] = {}


class _Package(Struct, frozen=True):
    name: Name
    wheels: list[_File] = []
    sdist: _File | None = None
    archive: _File | None = None
    vcs: Any = None
    directory: Any = None


class _Lock(Struct, frozen=True):
    packages: Annotated[list[_Package], Meta(max_length=limits.WHEELS)] = []


def parse(path: Path, local: Collection[str]) -> tuple[Pick, ...]:
    """The distributions in the lock at `path`; `local` names those that come from no index.

    Raises Invalid when a distribution cannot be pinned by a hash, and when a build has replaced the lock.
    """
    packages = _read(path).packages
    mistakes = [_mistake(package) for package in packages if package.name not in local]
    if any(mistakes):
        raise Invalid(mistake for mistake in mistakes if mistake)
    return tuple(_pick(package, path.parent, local) for package in packages)


def _read(path: Path) -> _Lock:
    if path.stat().st_size > limits.LOCK:
        raise Invalid(f"cannot lock the packages: their lock file has more than {limits.LOCK} bytes. Remove packages")
    try:
        return msgspec.toml.decode(path.read_bytes(), type=_Lock)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Invalid(f"cannot lock the packages: the result of uv is not a lock file ({error!s:.200})") from error


def _mistake(package: _Package) -> str | None:
    if package.vcs is not None or package.directory is not None:
        return (
            f"{package.name} comes from a repository or a folder, whose contents no hash can pin: put an archive "
            f"of it into packages/"
        )
    return None


def _pick(package: _Package, folder: Path, local: Collection[str]) -> Pick:
    name = package.name
    if name in local:
        return Pick(name, (), None)
    wheels = [_artifact(name, each, folder) for each in package.wheels]
    sdist = _artifact(name, package.sdist, folder) if package.sdist is not None else None
    if package.archive is not None:
        archive = _artifact(name, package.archive, folder)
        if archive.filename.endswith(WHEEL):
            wheels.append(archive)
        else:
            sdist = archive
    return Pick(name, tuple(wheels), sdist)


def _artifact(name: str, file: _File, folder: Path) -> Artifact:
    url = file.url or (folder / (file.path or "")).resolve().as_uri()
    filename = file.name or unquote(urlsplit(url).path.rsplit("/", 1)[-1])
    if "sha256" not in file.hashes:
        raise Invalid(f"cannot lock {name}: its index gives no sha256 for {filename}")
    return Artifact(filename, url, file.hashes["sha256"], file.size or 0)
