"""Numbers of things as people read them."""


def amount(number: int, unit: str = "bytes") -> str:
    """`3 packages`, `512 bytes`, `1.4 MB`; small files are counted in bytes, so that none of them is 0.0 MB."""
    if unit != "bytes":
        return f"{number} {unit}"
    return f"{number / 1e6:.1f} MB" if number >= 100_000 else f"{number} bytes"


def part(done: int, total: int, unit: str) -> str:
    """`20.1 MB of 278.0 MB`, `3 of 5 packages`."""
    return f"{amount(done)} of {amount(total)}" if unit == "bytes" else f"{done} of {amount(total, unit)}"
