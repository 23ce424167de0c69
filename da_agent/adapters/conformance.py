"""The conformance of stores, and the stores that this machine has used: one small file for each."""

import hashlib
from pathlib import Path

from da_agent import files
from da_agent.domain import records
from da_agent.domain.node.used_stores import Used
from da_agent.domain.store.conformance import Conformance
from da_agent.errors import Corrupt


class ConformanceFolder:
    """Files named by the hash of the store's identity, which may contain any character. A corrupt file is ignored."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, identity: str) -> Conformance | None:
        path = self._path(identity)
        with files.on_this_node("read the conformance record of the store"):
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                return None
        try:
            conformance = records.decode(Conformance, data, str(path))
        except Corrupt:
            return None
        return conformance if conformance.store == identity else None

    def save(self, conformance: Conformance) -> None:
        with files.on_this_node("write the conformance record of the store"):
            files.replace(self._path(conformance.store), records.encode(conformance))

    def _path(self, identity: str) -> Path:
        return self._folder / f"{hashlib.sha256(identity.encode()).hexdigest()}.json"


class UsedStoreFolder:
    """Implements ports.UsedStores by files named by the hash of the URL. A corrupt file is ignored."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, url: str) -> Used | None:
        path = self._path(url)
        with files.on_this_node("read which store was used"):
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                return None
        try:
            used = records.decode(Used, data, str(path))
        except Corrupt:
            return None
        return used if used.url == url else None

    def save(self, used: Used) -> None:
        with files.on_this_node("write which store was used"):
            files.replace(self._path(used.url), records.encode(used))

    def place(self, url: str) -> str:
        return str(self._path(url))

    def _path(self, url: str) -> Path:
        return self._folder / f"used-{hashlib.sha256(url.encode()).hexdigest()}.json"
