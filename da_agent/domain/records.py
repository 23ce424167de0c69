"""How values become the JSON that is kept in the store and on disk."""

import hashlib
from typing import TypeVar

import msgspec

from da_agent.errors import Corrupt

T = TypeVar("T")


def encode(record: object) -> bytes:
    """Readable JSON with a newline at the end: people look at these files at night."""
    return msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"


def decode(kind: type[T], data: bytes, name: str) -> T:
    """The record in `data`; raises Corrupt, naming `name`, when it is not a whole and valid one."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Corrupt(f"{name} is not a valid {kind.__name__.lower()} record: {error}") from error


_SEAL = b',\n "sha256": "'
_END = b'"\n}\n'


def seal(record: object) -> bytes:
    """As `encode`, with the sha256 of all lines before it in the last one: no byte of it can change unnoticed."""
    lines = encode(record).removesuffix(b"\n}\n")
    return lines + _SEAL + hashlib.sha256(lines).hexdigest().encode() + _END


def unseal(kind: type[T], data: bytes, name: str) -> T:
    """The record that was sealed; raises Corrupt, naming `name`, when anything was changed since."""
    record = decode(kind, data, name)
    lines, _, rest = data.rpartition(_SEAL)
    if rest != hashlib.sha256(lines).hexdigest().encode() + _END:
        raise Corrupt(f"{name} was changed after it was written: it does not have the sha256 in its last line")
    return record
