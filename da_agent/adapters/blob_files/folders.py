"""The node's own copies of blobs, as read-only files named by their hash."""

import hashlib
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from da_agent import files
from da_agent.adapters.blob_files.boots import BootMark
from da_agent.adapters.blob_files.partials import Partial, Partials
from da_agent.domain.node.paths import Paths
from da_agent.domain.store.blobs import Blob
from da_agent.errors import Corrupt
from da_agent.ports import Sink


class BlobFiles:
    """What comes of a blob lies in a folder of its own, and is renamed when it is whole and hashed.

    Nobody waits until it is on the disk: that would cost more than fetching it. What a power cut can have spoilt is
    found by its hash: after each start of the machine every blob is looked at once, before the first is used.
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._partials = Partials(paths.partial)
        self._mark = BootMark(paths.agent / "boot")
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
                # Another process was faster: it had the file until now.
                return
            resumed = partial.size > 0
            try:
                _complete(partial, fill)
            except Corrupt:
                if not resumed:
                    raise
                # A power cut may have spoilt what was kept, or the object is another one by now.
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
                # Last: whoever dies before it has everything looked at once more.
                self._mark.set()
            self._looked = True

    def needless(self, keep: frozenset[Blob], before: datetime) -> tuple[str, ...]:
        wanted = {self.path(blob) for blob in keep}
        with files.on_this_node(f"look through {self._paths.blobs}"):
            found = [path for path in self._kept() if path not in wanted]
            return tuple(sorted(path.name for path in found if path.stat().st_mtime < before.timestamp()))

    def _kept(self) -> list[Path]:
        """Whatever else somebody has put into the folder is none of ours."""
        return [path for path in self._paths.blobs.glob("[0-9a-f]" * 64) if path.is_file()]

    def remove(self, sha256: str) -> None:
        with files.on_this_node(f"remove blob {sha256}"):
            self.path(Blob(sha256, 0)).unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _complete(partial: Partial, fill: Callable[[Sink, int], object]) -> None:
    """Ask for what is missing, unless nothing is, and look whether it is the blob then."""
    if partial.missing or not partial.size:
        fill(partial.take, partial.size)
    partial.check()
