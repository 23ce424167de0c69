"""Copies of the inbox, each in a temporary folder of the agent alone."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from da_agent import files, ports
from da_agent.domain.store.blobs import Blob
from da_agent.domain.store.inboxes import Entry
from da_agent.errors import Conflict, NotFound

WORKERS = 8


class SnapshotFolders:
    """Implements ports.Snapshots below `scratch`."""

    def __init__(self, store: ports.Store, scratch: Path) -> None:
        self._store = store
        self._scratch = scratch

    @contextmanager
    def take(self, entries: Iterable[Entry], overlay: Mapping[str, bytes | Path]) -> Iterator[ports.Snapshot]:
        with files.on_this_node(f"copy the inbox to {self._scratch}"):
            self._scratch.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix="inbox-", dir=self._scratch))
        try:
            yield _SnapshotFolder(self._store, {entry.key: entry for entry in entries}, overlay, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


class _SnapshotFolder:
    def __init__(
        self, store: ports.Store, entries: Mapping[str, Entry], overlay: Mapping[str, bytes | Path], folder: Path
    ) -> None:
        self._store = store
        self._entries = entries
        self._overlay = overlay
        self._folder = folder
        self._fetched: dict[str, tuple[Blob, Path]] = {}

    def read(self, key: str) -> bytes:
        body = self._overlay.get(key)
        if body is not None:
            return body if isinstance(body, bytes) else body.read_bytes()
        try:
            stored = self._store.read(key)
        except NotFound as absent:
            raise Conflict(f"{key} was removed while the inbox was read") from absent
        if stored.tag != self._entries[key].tag:
            raise Conflict(f"{key} changed while the inbox was read")
        return stored.data

    def fetch(self, keys: Iterable[str]) -> Mapping[str, tuple[Blob, Path]]:
        wanted = list(keys)
        missing = [key for key in wanted if key not in self._fetched]
        size = sum(self._size(key) for key in missing)
        files.require_room(f"copy {len(missing)} objects of the inbox", self._folder, size)
        with ThreadPoolExecutor(WORKERS) as pool:
            self._fetched.update(zip(missing, pool.map(self._copy, missing), strict=True))
        return {key: self._fetched[key] for key in wanted}

    def _size(self, key: str) -> int:
        body = self._overlay.get(key)
        if body is None:
            return self._entries[key].size
        return len(body) if isinstance(body, bytes) else body.stat().st_size

    def _copy(self, key: str) -> tuple[Blob, Path]:
        # A folder for each file: names must not change, and two folders of the inbox may hold equal names.
        target = self._folder / hashlib.sha256(key.encode()).hexdigest()[:16] / key.rsplit("/", 1)[-1]
        with files.on_this_node(f"make {target.parent}"):
            target.parent.mkdir(exist_ok=True)
        digest, size = hashlib.sha256(), 0
        with files.on_this_node(f"copy {key} to {target}", self._folder), target.open("wb") as file:

            def take(chunk: bytes) -> None:
                nonlocal size
                file.write(chunk)
                digest.update(chunk)
                size += len(chunk)

            self._pour(key, take)
        return Blob(digest.hexdigest(), size), target

    def _pour(self, key: str, take: Callable[[bytes], object]) -> None:
        body = self._overlay.get(key)
        if body is None:
            try:
                self._store.fetch(key, take)
            except NotFound as absent:
                raise Conflict(f"{key} was removed while the inbox was read") from absent
        elif isinstance(body, bytes):
            take(body)
        else:
            with body.open("rb") as file:
                while chunk := file.read(1 << 20):
                    take(chunk)
