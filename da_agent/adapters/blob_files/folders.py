"""The node's own copies of blobs, as read-only files named by their hash."""

import hashlib
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from da_agent import files
from da_agent.adapters.blob_files.boots import BOOT_ID, BootMark
from da_agent.adapters.blob_files.partials import Partial, Partials
from da_agent.domain.node.paths import Paths
from da_agent.domain.store.blobs import Blob
from da_agent.errors import Corrupt
from da_agent.ports import Sink


class BlobFiles:
    """A download lies in a folder for partial blobs, and is renamed when it is whole and its hash is right.

    Blobs are not synced to the disk: a sync costs more than the download. A power cut can damage them, so after each
    boot every blob is hashed once, before the first is used.
    """

    def __init__(self, paths: Paths, boot_id: Path = BOOT_ID) -> None:
        """`boot_id` is the file in which the kernel tells its current boot from others."""
        self._paths = paths
        self._partials = Partials(paths.partial)
        self._mark = BootMark(paths.agent / "boot", boot_id)
        self._looked = False
        self._looking = threading.Lock()

    def has(self, blob: Blob) -> bool:
        self._look()
        with files.on_this_node(f"look for blob {blob.sha256}"):
            path = self.path(blob)
            return path.is_file() and path.stat().st_size == blob.size

    def path(self, blob: Blob) -> Path:
        return self._paths.blob(blob)

    def receive(self, blob: Blob, fill: Callable[[Sink, int], object]) -> None:
        with self._partials.hold(blob) as partial:
            if self.has(blob):
                # Another process held the partial file until now and completed the blob.
                return
            resumed = partial.size > 0
            try:
                _complete(partial, fill)
            except Corrupt:
                if not resumed:
                    raise
                # A power cut damaged the partial file, or the object in the store has changed. Start from byte 0.
                partial.clear()
                _complete(partial, fill)
            with files.on_this_node(f"store blob {blob.sha256}", self._paths.blobs):
                self._paths.blobs.mkdir(exist_ok=True)
                partial.move(self.path(blob))

    def _look(self) -> None:
        with self._looking, files.on_this_node(f"look through {self._paths.blobs}"):
            if not self._looked and not self._mark.is_of_this_boot():
                for path in self._kept():
                    if _sha256(path) != path.name:
                        path.unlink()
                # The mark comes last: a process that dies before it leaves the check to the next one.
                self._mark.set()
            self._looked = True

    def needless(self, keep: frozenset[Blob], before: datetime) -> tuple[str, ...]:
        wanted = {self.path(blob) for blob in keep}
        with files.on_this_node(f"look through {self._paths.blobs}"):
            found = [path for path in self._kept() if path not in wanted]
            return tuple(sorted(path.name for path in found if path.stat().st_mtime < before.timestamp()))

    def _kept(self) -> list[Path]:
        """The blobs in the folder. Files whose name is no sha256 are not the agent's, and stay."""
        return [path for path in self._paths.blobs.glob("[0-9a-f]" * 64) if path.is_file()]

    def remove(self, sha256: str) -> None:
        with files.on_this_node(f"remove blob {sha256}"):
            self.path(Blob(sha256, 0)).unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _complete(partial: Partial, fill: Callable[[Sink, int], object]) -> None:
    """Fetch the missing bytes, if any, and verify the blob. Corrupt when the size or the hash is wrong."""
    if partial.missing or not partial.size:
        fill(partial.take, partial.size)
    partial.check()
