"""How long a store may take, and when a file is uploaded in parts."""

from dataclasses import dataclass
from datetime import timedelta

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Patience:
    """Times are in seconds, sizes in bytes.

    `read` is the longest silence in an answer. `attempts` counts all tries of a request that may be repeated. A body
    must bring 32 KiB in each `pace` of waiting. A file larger than `whole` is uploaded in parts of size `part`.
    An upload that started longer than `dead` ago belongs to a dead writer.
    """

    connect: float = 5
    read: float = 20
    attempts: int = 3
    pace: float = 30
    whole: int = 64 * _MIB
    part: int = 16 * _MIB
    dead: timedelta = timedelta(days=1)


USUAL = Patience()
