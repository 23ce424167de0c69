"""What several of these tests need."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def desk() -> Iterator[Path]:
    """A folder that the build user may enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="da-agent-test-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "inbox").mkdir()
        yield Path(folder)


@pytest.fixture
def inbox(desk: Path) -> Path:
    return desk / "inbox"


@pytest.fixture
def log(desk: Path) -> Path:
    """A file that every build may write to."""
    path = desk / "builds.log"
    path.touch()
    path.chmod(0o666)
    return path
