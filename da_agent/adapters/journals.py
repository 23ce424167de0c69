"""The journal as one small file."""

from pathlib import Path

from da_agent import files
from da_agent.domain import records
from da_agent.domain.journals import Journal
from da_agent.errors import Tampered


class JournalFile:
    """Read whole, replaced whole."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Journal | None:
        with files.on_this_node("read the journal"):
            try:
                data = self._path.read_bytes()
            except FileNotFoundError:
                return None
        try:
            return records.decode(Journal, data, str(self._path))
        except Tampered:
            return None

    def save(self, journal: Journal) -> None:
        with files.on_this_node("write the journal"):
            files.replace(self._path, records.encode(journal))
