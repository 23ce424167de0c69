"""A shape: the stored form of one kind of record, and its conversion to and from the value."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import Meta

from da_agent.domain import limits
from da_agent.domain.store import names


class Fields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fields of a record, or of a part of one. A newer agent that adds a field also changes the format."""

    def __post_init__(self) -> None:
        """Raises ValueError for a time that no record has; the types below say the rest."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, datetime) and not limits.EARLIEST <= value < limits.LATEST:
                raise ValueError(f"`{name}` is not between {limits.EARLIEST.year} and {limits.LATEST.year}")


Value = TypeVar("Value")
Wire = TypeVar("Wire", bound=Fields)

Time = Annotated[datetime, Meta(tz=True)]
"""A date and a time with a time zone."""

Count = Annotated[int, Meta(ge=0, le=2**53)]
"""Numbers above 2**53 are not exact in every JSON reader."""

Number = Annotated[int, Meta(ge=1, le=9_999_999_999)]
"""The number of a release: the key of its record has ten digits."""

NodeName = Annotated[str, Meta(pattern=rf"\A{names.NODE}\Z")]

Name = Annotated[str, Meta(max_length=limits.NAME)]
"""A name or a random text that is not the name of a node."""

Text = Annotated[str, Meta(max_length=limits.TEXT)]

Key = Annotated[str, Meta(max_length=limits.KEY)]
"""A key or a tag of the store, or a path."""


@dataclass(frozen=True, slots=True)
class Shape(Generic[Value, Wire]):
    """`name` is what messages call the record; `format` is the version that `wire` describes.

    `from_wire` raises ValueError when the fields are valid each, but not together.
    """

    name: str
    value: type[Value]
    wire: type[Wire]
    to_wire: Callable[[Value], Wire]
    from_wire: Callable[[Wire], Value]
    format: int = 1
