"""The node's own copies of blobs, as read-only files named by their hash."""

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from da_agent import files
from da_agent.domain.blobs import Blob
from da_agent.domain.paths import Paths
from da_agent.errors import NodeBroken, Tampered

_UNFINISHED = "blob-"


class BlobFiles:
    """A blob is received into the scratch folder and renamed when it is whole, hashed and on the disk."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def has(self, blob: Blob) -> bool:
        with files.on_this_node(f"look for blob {blob.sha256}"):
            path = self.path(blob)
            return path.is_file() and path.stat().st_size == blob.size

    def path(self, blob: Blob) -> Path:
        return self._paths.blob(blob)

    def receive(self, blob: Blob, fill: Callable[[Callable[[bytes], object]], object]) -> None:
        unfinished = self._paths.scratch / f"{_UNFINISHED}{secrets.token_hex(8)}"
        with files.on_this_node(f"make room for blobs in {self._paths.agent}"):
            self._paths.scratch.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            reception = _Reception(blob, descriptor, self._paths.scratch)
            try:
                fill(reception.take)
                reception.finish()
            finally:
                os.close(descriptor)
            with files.on_this_node(f"store blob {blob.sha256}"):
                self._keep(unfinished, self.path(blob))
        finally:
            with suppress(OSError):
                unfinished.unlink()

    def _keep(self, unfinished: Path, path: Path) -> None:
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            files.sync_directory(path.parent.parent)
        unfinished.rename(path)
        files.sync_directory(path.parent)

    def needless(self, keep: frozenset[Blob], before: datetime) -> tuple[str, ...]:
        wanted = {self.path(blob) for blob in keep}
        with files.on_this_node(f"look through {self._paths.blobs}"):
            found = [path for path in self._paths.blobs.glob("*/*") if path not in wanted]
            return tuple(sorted(path.name for path in found if path.stat().st_mtime < before.timestamp()))

    def remove(self, sha256: str) -> None:
        with files.on_this_node(f"remove blob {sha256}"):
            self.path(Blob(sha256, 0)).unlink(missing_ok=True)


class _Reception:
    """One blob on its way to the disk."""

    def __init__(self, blob: Blob, descriptor: int, folder: Path) -> None:
        self._blob = blob
        self._descriptor = descriptor
        self._folder = folder
        self._digest = hashlib.sha256()
        self._size = 0

    def take(self, chunk: bytes) -> None:
        self._digest.update(chunk)
        rest = memoryview(chunk)
        while rest:
            try:
                written = os.write(self._descriptor, rest)
            except OSError as error:
                raise self._complaint(error) from error
            self._size += written
            rest = rest[written:]
        if self._size > self._blob.size:
            # A wrong body of any length must not fill the disk before its hash is looked at.
            raise Tampered(f"blob {self._blob.sha256} came with more than its {self._blob.size} bytes")

    def finish(self) -> None:
        if self._size != self._blob.size:
            raise Tampered(f"blob {self._blob.sha256} came with {self._size} bytes instead of {self._blob.size}")
        if self._digest.hexdigest() != self._blob.sha256:
            raise Tampered(
                f"blob {self._blob.sha256} came with other bytes, whose sha256 is {self._digest.hexdigest()}"
            )
        try:
            os.fchmod(self._descriptor, 0o444)
            os.fsync(self._descriptor)
        except OSError as error:
            raise self._complaint(error) from error

    def _complaint(self, error: OSError) -> NodeBroken:
        if error.errno not in files.FULL:
            return NodeBroken(f"cannot write to {self._folder}: {files.complaint(error)}")
        missing = self._blob.size - self._size
        with suppress(OSError):
            free = shutil.disk_usage(self._folder).free
            # A quota can be used up while the disk itself has room.
            missing -= free if free < missing else 0
        return NodeBroken(f"cannot write to {self._folder}: the disk is full, {missing} more bytes are needed there")
