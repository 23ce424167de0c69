"""When the store last answered, as the modification time of an empty file."""

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path


class LastContactFile:
    """Only shown to an admin: nothing depends on it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def heard(self) -> None:
        with suppress(OSError):
            self._path.touch()

    def last(self) -> datetime | None:
        try:
            return datetime.fromtimestamp(self._path.stat().st_mtime, UTC)
        except OSError:
            return None
