"""How values become the JSON that is kept in the store and on disk."""

from typing import TypeVar

import msgspec

from da_agent.errors import Tampered

T = TypeVar("T")


def encode(record: object) -> bytes:
    """Readable JSON with a newline at the end: people look at these files at night."""
    return msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"


def decode(kind: type[T], data: bytes, name: str) -> T:
    """The record in `data`; raises Tampered, naming `name`, when it is not a whole and valid one."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Tampered(f"{name} is not a valid {kind.__name__.lower()} record: {error}") from error
