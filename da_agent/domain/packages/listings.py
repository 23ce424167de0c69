"""What a wheel contains, as its own listing says."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a wheel: its path there, its size in bytes when unpacked, and its CRC-32."""

    path: str
    size: int
    crc: int


@dataclass(frozen=True, slots=True)
class Listing:
    """The name and version in the METADATA of a wheel, its files, and the `scripts` that its installer makes."""

    name: str
    version: str
    scripts: tuple[str, ...]
    members: tuple[Member, ...]

    def sizes(self) -> Iterable[int]:
        return (member.size for member in self.members)
