"""uv's lock file (PEP 751) as values."""

import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from da_agent.domain.packages.wheels import WHEEL, Wheel
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


def parse(path: Path, local: Collection[str]) -> tuple[Pick, ...]:
    """The distributions in the lock at `path`; `local` names those that come from no index.

    Raises Invalid when a distribution cannot be pinned by a hash.
    """
    packages = tomllib.loads(path.read_text(encoding="utf-8")).get("packages", [])
    mistakes = [_mistake(package) for package in packages if package["name"] not in local]
    if any(mistakes):
        raise Invalid(mistake for mistake in mistakes if mistake)
    return tuple(_pick(package, path.parent, local) for package in packages)


def _mistake(package: Mapping[str, Any]) -> str | None:
    if "vcs" in package or "directory" in package:
        return (
            f"{package['name']} comes from a repository or a folder, whose contents no hash can pin: put an archive "
            f"of it into packages/"
        )
    return None


def _pick(package: Mapping[str, Any], folder: Path, local: Collection[str]) -> Pick:
    name = package["name"]
    if name in local:
        return Pick(name, (), None)
    wheels = [_artifact(name, each, folder) for each in package.get("wheels", ())]
    sdist = _artifact(name, package["sdist"], folder) if "sdist" in package else None
    if "archive" in package:
        archive = _artifact(name, package["archive"], folder)
        if archive.filename.endswith(WHEEL):
            wheels.append(archive)
        else:
            sdist = archive
    return Pick(name, tuple(wheels), sdist)


def _artifact(name: str, record: Mapping[str, Any], folder: Path) -> Artifact:
    url = record["url"] if "url" in record else (folder / record["path"]).resolve().as_uri()
    filename = record.get("name") or unquote(urlsplit(url).path.rsplit("/", 1)[-1])
    sha256 = record.get("hashes", {}).get("sha256")
    if sha256 is None:
        raise Invalid(f"cannot lock {name}: its index gives no sha256 for {filename}")
    return Artifact(filename, url, sha256, record.get("size") or 0)
