"""What people put into the store: configuration, certificates, packages."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from da_agent.domain import keys
from da_agent.domain.blobs import Blob


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """An object of the store as a listing shows it. `tag` changes whenever the bytes do."""

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
        """Equal for two listings when every object is the same: what a verdict is about."""
        text = "".join(f"{entry.key}\0{entry.tag}\n" for entry in self.entries)
        return hashlib.sha256(text.encode()).hexdigest()

    def quiet_at(self, period: timedelta) -> datetime | None:
        """When nobody will have written for `period`, by the store's clock; None for an empty inbox."""
        return max((entry.modified_at + period for entry in self.entries), default=None)

    def entry(self, key: str) -> Entry | None:
        return next((entry for entry in self.entries if entry.key == key), None)

    def below(self, folder: str) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.key.startswith(folder))


def inbox_of(entries: Iterable[Entry]) -> Inbox:
    """The inbox among `entries`: S3 consoles leave folder markers, editors leave hidden and backup files."""
    return Inbox(tuple(sorted(entry for entry in entries if _belongs(entry.key))))


def is_litter(key: str) -> bool:
    """Whether the last part of a name says that nobody put it there to be used."""
    name = key.rsplit("/", 1)[-1]
    return not name or name.startswith(".") or name.endswith(("~", "_$folder$", ".swp"))


def _belongs(key: str) -> bool:
    if is_litter(key):
        return False
    return key == keys.CONFIG or key.startswith((keys.CERTIFICATES, keys.PACKAGES))


@dataclass(frozen=True, slots=True)
class Seen:
    """The bytes that an object of the inbox had under a tag: what has been read once need not be read again."""

    key: str
    tag: str
    blob: Blob


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of an inbox: release `release`, or refused for `mistakes`. Not looked at again until it changes."""

    fingerprint: str
    release: int | None
    mistakes: tuple[str, ...]
    seen: tuple[Seen, ...]
    by: str
    at: datetime
    format: Literal[1] = 1

    @property
    def known(self) -> dict[tuple[str, str], Blob]:
        return {(seen.key, seen.tag): seen.blob for seen in self.seen}
