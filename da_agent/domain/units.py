"""Amounts, durations and times as text for an admin."""

from datetime import datetime, timedelta


def amount(number: int, unit: str = "bytes") -> str:
    """`3 packages`, `512 bytes`, `1.4 MB`; small files are counted in bytes, so that none shows as 0.0 MB."""
    if unit != "bytes":
        return f"{number} {unit}"
    return f"{number / 1e6:.1f} MB" if number >= 100_000 else f"{number} bytes"


def part(done: int, total: int, unit: str) -> str:
    """`20.1 MB of 278.0 MB`, `3 of 5 packages`."""
    return f"{amount(done)} of {amount(total)}" if unit == "bytes" else f"{done} of {amount(total, unit)}"


def span(time: timedelta) -> str:
    """`42 s`, `3 min 20 s`, `2 h 5 min`: two units are enough."""
    seconds = max(0, round(time.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def time(moment: datetime) -> str:
    """The moment to the second, in UTC. `moment` must be in UTC."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
