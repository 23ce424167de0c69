"""When the store last answered, as the modification time of an empty file."""

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path


class LastContactFile:
    """The time is only shown to an admin, so errors are ignored."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def record(self) -> None:
        """The store has answered now."""
        with suppress(OSError):
            self._path.touch()

    def last(self) -> datetime | None:
        try:
            return datetime.fromtimestamp(self._path.stat().st_mtime, UTC)
        except OSError:
            return None
