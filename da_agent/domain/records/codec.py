"""How values become the JSON in the store and on disk."""

import hashlib
from typing import Any, TypeVar

import msgspec

from da_agent.domain import texts
from da_agent.domain.records.conformance import CONFORMANCE
from da_agent.domain.records.leases import LEASE
from da_agent.domain.records.node_states import NODE_STATE
from da_agent.domain.records.releases import RELEASE
from da_agent.domain.records.reports import REPORT
from da_agent.domain.records.rollouts import ROLLOUT
from da_agent.domain.records.shapes import Shape
from da_agent.domain.records.used_stores import USED_STORE
from da_agent.domain.records.verdicts import VERDICT
from da_agent.errors import Corrupt, StoreUnfit, UnknownFormat

T = TypeVar("T")

SHAPES: tuple[Shape[Any, Any], ...] = (RELEASE, ROLLOUT, REPORT, LEASE, VERDICT, NODE_STATE, CONFORMANCE, USED_STORE)
"""Every record that is stored."""

_SHAPES = {shape.value: shape for shape in SHAPES}
_DECODERS = {shape.value: msgspec.json.Decoder(shape.wire) for shape in SHAPES}


def encode(record: object) -> bytes:
    """Readable JSON with a newline at the end: an admin may read these files at night.

    StoreUnfit for a time that no record may have: only a wrong clock makes one.
    """
    shape = _SHAPES[type(record)]
    try:
        wire = shape.to_wire(record)
    except ValueError as error:
        raise StoreUnfit(
            f"cannot write a {shape.name} record: {error}. Correct the clock of the store or of this machine"
        ) from error
    return msgspec.json.format(msgspec.json.encode(wire), indent=1) + b"\n"


def decode(kind: type[T], data: bytes, name: str) -> T:
    """The record in `data`. Raises Corrupt, naming `name`, unless it is a whole, valid record of a known format."""
    shape: Shape[T, Any] = _SHAPES[kind]
    try:
        return shape.from_wire(_DECODERS[kind].decode(data))
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        _require_known_format(shape, data, name)
        # The sentence may quote the record.
        raise Corrupt(f"{name} is not a valid {shape.name} record: {texts.reason(error)}") from error


class _Version(msgspec.Struct):
    """All that can be read of a record of any format."""

    format: int


def _require_known_format(shape: Shape[Any, Any], data: bytes, name: str) -> None:
    try:
        found = msgspec.json.decode(data, type=_Version).format
    except (msgspec.DecodeError, ValueError, RecursionError):
        return
    if found != shape.format:
        raise UnknownFormat(
            f"cannot read {name}: it has format {found}, and this agent knows format {shape.format}. "
            "Update da_agent on this node."
        )


_SEAL = b',\n "sha256": "'
_END = b'"\n}\n'


def seal(record: object) -> bytes:
    """As `encode`, with the SHA-256 of all lines before it in the last line: a change of any byte is noticed."""
    return sealed(encode(record).removesuffix(b"\n}\n"))


def sealed(lines: bytes) -> bytes:
    """`lines`, which are those of a record without its last one, with the seal."""
    return lines + _SEAL + hashlib.sha256(lines).hexdigest().encode() + _END


def unseal(kind: type[T], data: bytes, name: str) -> T:
    """The record that was sealed. Raises Corrupt, naming `name`, when a byte has changed since."""
    lines, seal_, _ = data.rpartition(_SEAL)
    record = decode(kind, lines + b"\n}\n" if seal_ else data, name)
    if data != sealed(lines):
        raise Corrupt(f"{name} was changed after it was written: it does not have the sha256 in its last line")
    return record
