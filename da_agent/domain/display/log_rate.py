"""How often a log tells of work that goes on."""

FIRST = 3.0
"""Seconds: what is done before that is told once, when it is done."""

EVERY = 10.0
"""Seconds between two lines about the same work in its first minute."""

LATER = 60.0
"""Seconds between two lines after that."""


def next_line(elapsed: float) -> float:
    """In how many seconds the next line is due, `elapsed` seconds after the beginning."""
    if elapsed < FIRST:
        return FIRST - elapsed
    return EVERY if elapsed < LATER else LATER
