"""The shapes of blobs and named files, as other records contain them."""

from typing import Annotated

from msgspec import Meta

from da_agent.domain.records.shapes import Count, Fields, Key
from da_agent.domain.store.blobs import Blob, File

Sha256 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class BlobShape(Fields, frozen=True):
    sha256: Sha256
    size: Count


class FileShape(Fields, frozen=True):
    name: Key
    sha256: Sha256
    size: Count


def blob_to_wire(blob: Blob) -> BlobShape:
    return BlobShape(blob.sha256, blob.size)


def blob_from_wire(shape: BlobShape) -> Blob:
    return Blob(shape.sha256, shape.size)


def file_to_wire(file: File) -> FileShape:
    return FileShape(file.name, file.blob.sha256, file.blob.size)


def file_from_wire(shape: FileShape) -> File:
    return File(shape.name, Blob(shape.sha256, shape.size))
