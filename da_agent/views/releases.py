"""Releases of the ledger."""

from datetime import datetime

from msgspec import Struct

from da_agent.domain import units
from da_agent.domain.packages.wheels import Wheel
from da_agent.domain.release.releases import Release
from da_agent.domain.store.blobs import File
from da_agent.views.outputs import Output
from da_agent.workflows.admin.statuses import History


class FileView(Struct, frozen=True, kw_only=True):
    """A certificate file; `size` is in bytes."""

    name: str
    sha256: str
    size: int


class PackageView(Struct, frozen=True, kw_only=True):
    """An installed wheel; `size` is in bytes."""

    name: str
    version: str
    filename: str
    sha256: str
    size: int


class ReleaseView(Struct, frozen=True, kw_only=True):
    """`why_no_https`: why the release serves no HTTPS although it has a key; None when it does, or has none."""

    number: int
    published_at: datetime
    publisher: str
    reason: str
    rollback_of: int | None
    restart: bool
    python: str
    platform: str
    config_sha256: str
    certificates: tuple[FileView, ...]
    why_no_https: str | None
    packages: tuple[PackageView, ...]


class HistoryView(Output, frozen=True, kw_only=True):
    """The newest release first. `problems` has a sentence for each release that cannot be read."""

    releases: tuple[ReleaseView, ...]
    problems: tuple[str, ...]


def of(release: Release) -> ReleaseView:
    contents = release.contents
    return ReleaseView(
        number=release.number,
        published_at=release.published_at,
        publisher=release.publisher,
        reason=release.reason,
        rollback_of=release.rollback_of,
        restart=release.restart,
        python=contents.target.python,
        platform=contents.target.platform,
        config_sha256=contents.config.sha256,
        certificates=tuple(map(_file, contents.certificates)),
        why_no_https=contents.why_no_https,
        packages=tuple(map(_package, contents.wheels)),
    )


def history(found: History) -> HistoryView:
    return HistoryView(releases=tuple(map(of, found.releases)), problems=found.problems)


def _file(file: File) -> FileView:
    return FileView(name=file.name, sha256=file.blob.sha256, size=file.blob.size)


def _package(wheel: Wheel) -> PackageView:
    return PackageView(
        name=wheel.name,
        version=wheel.version,
        filename=wheel.filename,
        sha256=wheel.blob.sha256,
        size=wheel.blob.size,
    )


def history_lines(shape: HistoryView) -> list[str]:
    return [
        f"{each.number:>6}  {units.time(each.published_at)}  {_contents(each)}  {each.reason}"
        for each in shape.releases
    ] + [f"Damaged: {each}" for each in shape.problems] or ["There is no release yet."]


def line(shape: ReleaseView | None) -> str:
    """The newest release in `status`; None when there is none."""
    if shape is None:
        return "Release: none yet"
    again = f", a rollback to {shape.rollback_of}" if shape.rollback_of is not None else ""
    again += ", a restart" if shape.restart else ""
    return (
        f"Release: {shape.number}{again}, {_contents(shape)}, published {units.time(shape.published_at)}"
        f" by {shape.publisher} ({shape.reason})"
    )


def warnings(shape: ReleaseView | None) -> list[str]:
    return [] if shape is None or shape.why_no_https is None else [f"{shape.why_no_https}."]


def _contents(shape: ReleaseView) -> str:
    packages = "1 package" if len(shape.packages) == 1 else f"{len(shape.packages)} packages"
    return f"{packages}, {len(shape.certificates)} certificate files"
