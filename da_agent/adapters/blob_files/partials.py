"""Partly downloaded blobs. A partial file outlives the process and has one writer at a time."""

import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from da_agent import files
from da_agent.domain.store.blobs import Blob
from da_agent.errors import Corrupt, NodeBroken

_CHUNK = 1024 * 1024
_DAY = 24 * 3600.0


class Partial:
    """The file with the first bytes of one blob, hashed as they arrive."""

    def __init__(self, blob: Blob, path: Path, descriptor: int) -> None:
        """`descriptor` is open for reading and writing on `path`; the bytes already in the file are hashed now."""
        self._blob = blob
        self._path = path
        self._descriptor = descriptor
        self._digest = hashlib.sha256()
        self.size = 0
        self.moved = False
        while chunk := os.read(descriptor, _CHUNK):
            self._digest.update(chunk)
            self.size += len(chunk)
        if self.size > blob.size:
            self.clear()

    @property
    def missing(self) -> int:
        return self._blob.size - self.size

    def take(self, chunk: bytes) -> None:
        self._digest.update(chunk)
        rest = memoryview(chunk)
        while rest:
            try:
                written = os.write(self._descriptor, rest)
            except OSError as error:
                raise self._complaint(error) from error
            self.size += written
            rest = rest[written:]
        if self.size > self._blob.size:
            # Checked at each chunk: a wrong body without end would fill the disk before its hash is compared.
            raise Corrupt(f"blob {self._blob.sha256} came with more than its {self._blob.size} bytes")

    def check(self) -> None:
        """Corrupt unless the file has the size and the sha256 of the blob."""
        if self.missing:
            raise Corrupt(f"blob {self._blob.sha256} came with {self.size} bytes instead of {self._blob.size}")
        if self._digest.hexdigest() != self._blob.sha256:
            raise Corrupt(f"blob {self._blob.sha256} came with other bytes, whose sha256 is {self._digest.hexdigest()}")

    def clear(self) -> None:
        """Truncate the file and start from byte 0."""
        with files.on_this_node(f"write to {self._path}"):
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.ftruncate(self._descriptor, 0)
        self._digest = hashlib.sha256()
        self.size = 0

    def move(self, path: Path) -> None:
        """Rename the file to `path`, read-only for the agent alone."""
        os.fchmod(self._descriptor, 0o400)
        self._path.rename(path)
        self.moved = True

    def _complaint(self, error: OSError) -> NodeBroken:
        if error.errno not in files.FULL:
            return NodeBroken(f"cannot write to {self._path.parent}: {files.complaint(error)}")
        return NodeBroken(f"cannot write blob {self._path.name}: {files.full(self._path.parent, self.missing)}")


class Partials:
    """The folder of partial files. A writer holds a flock on its file; the kernel releases it when the process ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sweep_at = 0.0

    @contextmanager
    def hold(self, blob: Blob) -> Iterator[Partial]:
        """The partial file of `blob`, for this thread alone. While another writer holds it: a new, temporary file.

        The partial file stays for the next attempt, unless it was moved, its bytes are wrong, or the disk is full.
        """
        with files.on_this_node(f"make room for blobs in {self._folder}", self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._sweep()
            path = self._folder / blob.sha256
            descriptor = _locked(path)
            kept = descriptor is not None
            if descriptor is None:
                path = self._folder / f"{blob.sha256}.{secrets.token_hex(8)}"
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        partial = None
        try:
            with files.on_this_node(f"read {path}"):
                partial = Partial(blob, path, descriptor)
            yield partial
        except (Corrupt, NodeBroken):
            kept = False
            raise
        finally:
            # Unlinked before the lock is released: a new writer could already have begun on this file otherwise.
            if partial is None or not (partial.moved or (kept and partial.size)):
                with suppress(OSError):
                    path.unlink()
            os.close(descriptor)

    def _sweep(self) -> None:
        """Once a day, remove partial files that have not changed for a day: no release needs them any more."""
        if time.monotonic() < self._sweep_at:
            return
        self._sweep_at = time.monotonic() + _DAY
        for path in self._folder.iterdir():
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _DAY:
                    descriptor = _locked(path)
                    if descriptor is not None:
                        path.unlink()
                        os.close(descriptor)


def _locked(path: Path) -> int | None:
    """A locked descriptor of the file at `path`, created if missing; None when another writer holds the lock."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The previous holder can rename or remove the file between open and flock: the lock is stale then.
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
            os.close(descriptor)
        except BlockingIOError:
            os.close(descriptor)
            return None
