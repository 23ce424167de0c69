"""What differs between two releases. Values that may be secret are masked."""

from collections.abc import Iterable

from msgspec import Struct

from da_agent.domain.release.differences import Change
from da_agent.views.outputs import Output
from da_agent.workflows.records.inspections import Difference


class ChangeView(Struct, frozen=True, kw_only=True):
    """`before` is None for what was added, `after` for what was removed."""

    name: str
    before: str | None
    after: str | None


class DifferenceView(Output, frozen=True, kw_only=True):
    """From release `before` to release `after`."""

    before: int
    after: int
    configuration: tuple[ChangeView, ...]
    certificates: tuple[ChangeView, ...]
    packages: tuple[ChangeView, ...]


def of(found: Difference) -> DifferenceView:
    return DifferenceView(
        before=found.before,
        after=found.after,
        configuration=changes(found.configuration),
        certificates=changes(found.certificates),
        packages=changes(found.packages),
    )


def changes(found: Iterable[Change]) -> tuple[ChangeView, ...]:
    return tuple(ChangeView(name=each.name, before=each.before, after=each.after) for each in found)


def lines(shape: DifferenceView) -> list[str]:
    found = [f"From release {shape.before} to release {shape.after}:"]
    for title, each in (
        ("Configuration", shape.configuration),
        ("Certificates", shape.certificates),
        ("Packages", shape.packages),
    ):
        found += [f"{title}:", *change_lines(each)] if each else [f"{title}: the same"]
    return found


def change_lines(shapes: Iterable[ChangeView]) -> list[str]:
    return [f"  {Change(each.name, each.before, each.after)}" for each in shapes]
