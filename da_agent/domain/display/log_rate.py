"""How often a log reports work in progress."""

FIRST = 3.0
"""Seconds: work that ends before this is reported once, at its end."""

EVERY = 10.0
"""Seconds between two lines about the same work in its first minute."""

LATER = 60.0
"""Seconds between two lines after that."""


def next_line(elapsed: float) -> float:
    """The seconds until the next line is due, `elapsed` seconds after the beginning."""
    if elapsed < FIRST:
        return FIRST - elapsed
    return EVERY if elapsed < LATER else LATER
