"""What one release holds. Values that may be secret are masked."""

from datetime import datetime

from da_agent.domain import units
from da_agent.views.outputs import Output
from da_agent.workflows.records.inspections import View


class ContentsView(Output, frozen=True, kw_only=True):
    """`settings` by path, `certificates` by file name with the end of their validity, `packages` with their
    versions.
    """

    number: int
    published_at: datetime
    publisher: str
    reason: str
    settings: dict[str, str]
    certificates: dict[str, str]
    packages: dict[str, str]


def of(found: View) -> ContentsView:
    return ContentsView(
        number=found.number,
        published_at=found.published_at,
        publisher=found.publisher,
        reason=found.reason,
        settings=found.settings,
        certificates=found.certificates,
        packages=found.packages,
    )


def lines(shape: ContentsView) -> list[str]:
    found = [
        f"Release {shape.number}, published {units.time(shape.published_at)} by {shape.publisher} ({shape.reason})"
    ]
    for title, values in (
        ("Configuration", shape.settings),
        ("Certificates", shape.certificates),
        ("Packages", shape.packages),
    ):
        found.append(f"{title}:" if values else f"{title}: none")
        found += [f"  {name}: {value}" for name, value in values.items()]
    return found
