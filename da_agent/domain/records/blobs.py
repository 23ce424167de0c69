"""The shapes of blobs and named files, as other records contain them."""

from typing import Annotated

from msgspec import Meta, Struct

from da_agent.domain.records.shapes import Count
from da_agent.domain.store.blobs import Blob, File

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
"""For a hash that stands alone. Where a Blob is made of it, Blob checks it."""


class BlobShape(Struct, frozen=True):
    sha256: str
    size: Count


class FileShape(Struct, frozen=True):
    name: str
    sha256: str
    size: Count


def blob_to_wire(blob: Blob) -> BlobShape:
    return BlobShape(blob.sha256, blob.size)


def blob_from_wire(shape: BlobShape) -> Blob:
    return Blob(shape.sha256, shape.size)


def file_to_wire(file: File) -> FileShape:
    return FileShape(file.name, file.blob.sha256, file.blob.size)


def file_from_wire(shape: FileShape) -> File:
    return File(shape.name, Blob(shape.sha256, shape.size))
