"""The end of a log, which tells people what went wrong."""

from pathlib import Path

LINES = 20
BYTES = 16384
"""So much of its end is looked at; a line may be a whole traceback's."""


def last_lines(path: Path) -> tuple[str, ...]:
    """The last lines with something in them; none when there is no such file."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ()
    return tuple(line.rstrip()[:500] for line in text.splitlines() if line.strip())[-LINES:]
