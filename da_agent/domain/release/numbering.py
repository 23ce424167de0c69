"""Which numbers in the store belong to the ledger."""

from collections.abc import Iterable

from da_agent.domain import limits


def counted(numbers: Iterable[int]) -> tuple[int, ...]:
    """The numbers of the ledger, oldest first.

    A number far beyond all others is a mistake: after it, there would soon be no number left for a release.
    """
    found: list[int] = []
    for number in sorted(numbers):
        if not is_next(found[-1] if found else 0, number):
            break
        found.append(number)
    return tuple(found)


def is_next(newest: int, number: int) -> bool:
    """Whether the release after `newest` may have this number."""
    return number - newest <= limits.FAR
