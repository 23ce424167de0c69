"""A shape: the stored form of one kind of record, and its conversion to and from the value."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import Meta

Value = TypeVar("Value")
Wire = TypeVar("Wire", bound=msgspec.Struct)

Time = Annotated[datetime, Meta(tz=True)]
"""A date and a time with a time zone."""

Count = Annotated[int, Meta(ge=0, le=2**53)]
"""Numbers above 2**53 are not exact in every JSON reader."""

Number = Annotated[int, Meta(ge=1, le=9_999_999_999)]
"""The number of a release: the key of its record has ten digits."""


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
