"""The end of a log, which shows an admin what went wrong."""

from pathlib import Path

from da_agent.domain import texts

BYTES = 16384
"""How much of the end is read; a single line may hold a whole traceback."""


def last_lines(path: Path) -> tuple[str, ...]:
    """The non-blank last lines as `texts.log` keeps them; empty when the file cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ()
    return texts.log(line for line in text.splitlines() if line.strip())
