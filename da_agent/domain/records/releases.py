"""The shape of a release: .agent/releases/NUMBER.json in the store, and the manifest of a staged release on a node."""

from typing import Literal

from da_agent.domain.packages.wheels import Target, Wheel
from da_agent.domain.records import blobs
from da_agent.domain.records.blobs import BlobShape, FileShape, Sha256
from da_agent.domain.records.shapes import Count, Fields, Key, Name, Number, Shape, Text, Time
from da_agent.domain.release.releases import Contents, Release
from da_agent.domain.store.blobs import Blob


class TargetShape(Fields, frozen=True):
    python: Name
    platform: Name


class WheelShape(Fields, frozen=True):
    """`sha256` and `size` are of the wheel with its bytecode. `original` is the sha256 that an index or the inbox has
    for it, `built_from` the sha256 of the source distribution that it was built from."""

    name: Text
    version: Text
    filename: Key
    sha256: Sha256
    size: Count
    original: Sha256 | None
    built_from: Sha256 | None


class ContentsShape(Fields, frozen=True):
    """`packages` are the files of the inbox's packages/ folder that `wheels` was resolved from."""

    config: BlobShape
    certificates: list[FileShape]
    packages: list[FileShape]
    target: TargetShape
    wheels: list[WheelShape]


class ReleaseShape(Fields, frozen=True):
    """`last_restart` is the newest release before this one that asked for a restart."""

    format: Literal[1]
    number: Number
    nonce: Name
    published_at: Time
    publisher: Text
    reason: Text
    rollback_of: Number | None
    restart: bool
    last_restart: Number | None
    contents: ContentsShape


def to_wire(release: Release) -> ReleaseShape:
    return ReleaseShape(
        format=1,
        number=release.number,
        nonce=release.nonce,
        published_at=release.published_at,
        publisher=release.publisher,
        reason=release.reason,
        rollback_of=release.rollback_of,
        restart=release.restart,
        last_restart=release.restarted,
        contents=_contents_to_wire(release.contents),
    )


def from_wire(shape: ReleaseShape) -> Release:
    return Release(
        number=shape.number,
        nonce=shape.nonce,
        published_at=shape.published_at,
        publisher=shape.publisher,
        reason=shape.reason,
        contents=_contents_from_wire(shape.contents),
        rollback_of=shape.rollback_of,
        restart=shape.restart,
        restarted=shape.last_restart,
    )


def _contents_to_wire(contents: Contents) -> ContentsShape:
    return ContentsShape(
        config=blobs.blob_to_wire(contents.config),
        certificates=[blobs.file_to_wire(file) for file in contents.certificates],
        packages=[blobs.file_to_wire(file) for file in contents.sources],
        target=TargetShape(contents.target.python, contents.target.platform),
        wheels=[_wheel_to_wire(wheel) for wheel in contents.wheels],
    )


def _contents_from_wire(shape: ContentsShape) -> Contents:
    names = [wheel.name for wheel in shape.wheels]
    if len(set(names)) < len(names):
        raise ValueError("two wheels of one distribution")
    return Contents(
        config=blobs.blob_from_wire(shape.config),
        certificates=tuple(blobs.file_from_wire(file) for file in shape.certificates),
        sources=tuple(blobs.file_from_wire(file) for file in shape.packages),
        target=Target(python=shape.target.python, platform=shape.target.platform),
        wheels=tuple(_wheel_from_wire(wheel) for wheel in shape.wheels),
    )


def _wheel_to_wire(wheel: Wheel) -> WheelShape:
    return WheelShape(
        name=wheel.name,
        version=wheel.version,
        filename=wheel.filename,
        sha256=wheel.blob.sha256,
        size=wheel.blob.size,
        original=wheel.original,
        built_from=wheel.source,
    )


def _wheel_from_wire(shape: WheelShape) -> Wheel:
    return Wheel(
        name=shape.name,
        version=shape.version,
        filename=shape.filename,
        blob=Blob(shape.sha256, shape.size),
        source=shape.built_from,
        original=shape.original,
    )


RELEASE = Shape("release", Release, ReleaseShape, to_wire, from_wire)
