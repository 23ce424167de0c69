"""The inbox: configuration, certificates and packages that users upload to the store."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from da_agent.domain.store import keys
from da_agent.domain.store.blobs import Blob


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """An object of the store as a listing shows it. `tag` changes whenever the bytes change."""

    key: str
    size: int
    tag: str
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Inbox:
    """A listing of the inbox, sorted by key, without folder markers and hidden files."""

    entries: tuple[Entry, ...]

    @property
    def fingerprint(self) -> str:
        """Equal for two listings with the same objects and tags. A verdict applies to one fingerprint."""
        text = "".join(f"{entry.key}\0{entry.tag}\n" for entry in self.entries)
        return hashlib.sha256(text.encode()).hexdigest()

    def quiet_at(self, period: timedelta) -> datetime | None:
        """When the inbox will have been unchanged for `period`, by the store's clock; None for an empty inbox."""
        return max((entry.modified_at + period for entry in self.entries), default=None)

    def entry(self, key: str) -> Entry | None:
        return next((entry for entry in self.entries if entry.key == key), None)

    def below(self, folder: str) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.key.startswith(folder))


def inbox_of(entries: Iterable[Entry]) -> Inbox:
    """The inbox in `entries`, without the folder markers of S3 consoles and the hidden and backup files of editors."""
    return Inbox(tuple(sorted(without_markers(entry for entry in entries if _belongs(entry.key)))))


def without_markers(entries: Iterable[Entry], beside: Iterable[str] = ()) -> tuple[Entry, ...]:
    """`entries` without the folder markers of some tools: empty objects with others below them, here or in `beside`."""
    found = tuple(entries)
    folders = {folder for key in (*(entry.key for entry in found), *beside) for folder in _folders(key)}
    return tuple(entry for entry in found if entry.size or entry.key not in folders)


def _folders(key: str) -> Iterator[str]:
    """Every folder that contains the key."""
    parts = key.split("/")[:-1]
    return ("/".join(parts[:count]) for count in range(1, len(parts) + 1))


def is_temporary(name: str) -> bool:
    """Whether the name is that of a folder marker, a hidden file or a backup, which no tool uploads on purpose."""
    parts = name.split("/")
    return not parts[-1] or any(part.startswith(".") or part.endswith(("~", "_$folder$", ".swp")) for part in parts)


def _belongs(key: str) -> bool:
    if is_temporary(key):
        return False
    return key == keys.CONFIG or key.startswith((keys.CERTIFICATES, keys.PACKAGES))


@dataclass(frozen=True, slots=True)
class Seen:
    """The blob of an inbox object at a tag. It saves reading the same object again."""

    key: str
    tag: str
    blob: Blob


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result for an inbox: release `release`, or rejected with `mistakes`. It is valid until the inbox changes."""

    fingerprint: str
    release: int | None
    mistakes: tuple[str, ...]
    seen: tuple[Seen, ...]
    by: str
    at: datetime

    @property
    def known(self) -> dict[tuple[str, str], Blob]:
        return {(seen.key, seen.tag): seen.blob for seen in self.seen}
