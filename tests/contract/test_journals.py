"""Does every journal keep the promises of ports.Journals?"""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from da_agent.adapters.journals import JournalFile
from da_agent.domain.journals import Failure, Journal
from da_agent.errors import NodeBroken
from da_agent.ports import Journals
from tests.fakes import NOON, MemoryJournals

MAKERS: dict[str, Callable[[Path], Journals]] = {
    "file": lambda folder: JournalFile(folder / "agent" / "journal.json"),
    "memory": lambda folder: MemoryJournals(),
}
FAILURE = Failure(3, "does not start", NOON, log=("a line",))
FULL = Journal(live=4).give_up(FAILURE).begin(5, until=NOON + timedelta(minutes=2))


@pytest.fixture(params=MAKERS)
def journals(request: pytest.FixtureRequest, tmp_path: Path) -> Journals:
    return MAKERS[request.param](tmp_path)


def test_a_new_node_has_no_journal(journals: Journals) -> None:
    assert journals.load() is None


def test_what_was_saved_last_is_loaded_whole(journals: Journals) -> None:
    journals.save(Journal(live=4))
    journals.save(FULL)
    assert journals.load() == FULL


def test_another_process_loads_what_this_one_saved(tmp_path: Path) -> None:
    JournalFile(tmp_path / "journal.json").save(FULL)
    assert JournalFile(tmp_path / "journal.json").load() == FULL


@pytest.mark.parametrize(
    "damage", [b"", b"\0" * 200, b"{", b'{"live": "four", "format": 1}', b'{"format": 2}', b"\xff"]
)
def test_a_damaged_journal_is_none_at_all(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "journal.json").write_bytes(damage)
    assert JournalFile(tmp_path / "journal.json").load() is None


def test_a_journal_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journals = JournalFile(tmp_path / "journal.json")
    journals.save(Journal(live=4))

    def full(path: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(NodeBroken, match=rf"cannot write the journal: the disk of {tmp_path} is full.*make room"):
        journals.save(Journal(live=5))
    assert journals.load() == Journal(live=4)
    assert [path.name for path in tmp_path.iterdir()] == ["journal.json"]


def test_saving_leaves_nothing_beside_the_journal(tmp_path: Path) -> None:
    journals = JournalFile(tmp_path / "journal.json")
    for number in range(3):
        journals.save(Journal(live=number))
    assert [path.name for path in tmp_path.iterdir()] == ["journal.json"]
