"""How often a log tells of work that goes on."""

import pytest

from da_agent.domain import units
from da_agent.domain.display import log_rate


@pytest.mark.parametrize(
    ("seconds", "lines"), [(2.9, 0), (3.0, 1), (12.9, 1), (13.0, 2), (63.0, 7), (122.0, 7), (123.0, 8), (600.0, 15)]
)
def test_nothing_of_what_is_short_then_every_ten_seconds_then_every_minute(seconds: float, lines: int) -> None:
    elapsed, told = 0.0, 0
    while elapsed + log_rate.next_line(elapsed) <= seconds:
        elapsed += log_rate.next_line(elapsed)
        told += 1
    assert told == lines


@pytest.mark.parametrize(
    ("done", "total", "unit", "text"),
    [
        (20_100_000, 278_000_000, "bytes", "20.1 MB of 278.0 MB"),
        (3, 5, "packages", "3 of 5 packages"),
        (12, 900, "bytes", "12 bytes of 900 bytes"),
    ],
)
def test_a_part_is_told_in_the_unit_of_the_whole(done: int, total: int, unit: str, text: str) -> None:
    assert units.part(done, total, unit) == text
