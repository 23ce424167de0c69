"""The node's own copies of blobs, as read-only files named by their hash."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from da_agent import files
from da_agent.adapters.blob_files.partials import Partial, Partials
from da_agent.domain.blobs import Blob
from da_agent.domain.paths import Paths
from da_agent.errors import Tampered
from da_agent.ports import Sink


class BlobFiles:
    """What comes of a blob lies in a folder of its own, and is renamed when it is whole, hashed and on the disk."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._partials = Partials(paths.partial)

    def has(self, blob: Blob) -> bool:
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
            except Tampered:
                if not resumed:
                    raise
                # A power cut may have spoilt what was kept, or the object is another one by now.
                partial.clear()
                _complete(partial, fill)
            with files.on_this_node(f"store blob {blob.sha256}", self._paths.blobs):
                self._keep(partial, self.path(blob))

    def _keep(self, partial: Partial, path: Path) -> None:
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            files.sync_directory(path.parent.parent)
        partial.move(path)
        files.sync_directory(path.parent)

    def needless(self, keep: frozenset[Blob], before: datetime) -> tuple[str, ...]:
        wanted = {self.path(blob) for blob in keep}
        with files.on_this_node(f"look through {self._paths.blobs}"):
            found = [path for path in self._paths.blobs.glob("*/*") if path not in wanted]
            return tuple(sorted(path.name for path in found if path.stat().st_mtime < before.timestamp()))

    def remove(self, sha256: str) -> None:
        with files.on_this_node(f"remove blob {sha256}"):
            self.path(Blob(sha256, 0)).unlink(missing_ok=True)


def _complete(partial: Partial, fill: Callable[[Sink, int], object]) -> None:
    """Ask for what is missing, unless nothing is, and look whether it is the blob then."""
    if partial.missing or not partial.size:
        fill(partial.take, partial.size)
    partial.check()
