"""Whatever bytes a record has, only Corrupt comes out, in one bounded line."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from da_agent.domain import limits, records
from da_agent.errors import Corrupt
from tests.stored import EXAMPLES, Example

each_record = pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: kind.name)

HARD: tuple[object, ...] = (
    *(None, True, False, 0, -1, 1, 2**53, 2**63, 10**400, 0.5, 1e308, "", " ", "\x00", "\x1b[2J", "\u202e", "é" * 2000),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "2026-01-01T12:00:00", "2026-02-30T12:00:00Z"),
    *("-P1D", "P99999999D", "P999999999999D", "PT0S", "../../etc/passwd", "/etc/passwd", "a/b", "con\n", [], [[]], {}),
    *({"a": 1}, ["a"], [None], "0" * 64, "g" * 64, 9_999_999_999, 10_000_000_000),
)
"""Values that are wrong in most places."""

VALUES = (
    st.sampled_from(HARD).map(deepcopy)
    | st.text(max_size=20)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
)


def only_corrupt(kind: Example, data: bytes) -> None:
    told, value = _decoded(kind, data)
    assert told.isprintable()
    assert len(told) <= limits.TEXT
    # What can be read can be written, and is read as the same.
    assert told or kind.decode(kind.encode(value)) == value


def _decoded(kind: Example, data: bytes) -> tuple[str, object]:
    """The error, and the value; one of the two."""
    try:
        return "", kind.decode(data)
    except Corrupt as error:
        return str(error), None


@each_record
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_value_that_is_replaced(kind: Example, data: st.DataObject) -> None:
    record = msgspec.json.decode(kind.data)
    record.pop("sha256", None) if kind.sealed else None
    for _ in range(data.draw(st.integers(1, 3))):
        holder, key = data.draw(st.sampled_from(list(_places(record))))
        match data.draw(st.sampled_from(["replace", "remove", "add", "repeat"])):
            case "replace":
                holder[key] = data.draw(VALUES)
            case "remove":
                del holder[key]
            case "add" if isinstance(holder, dict):
                holder[data.draw(st.text(max_size=5))] = data.draw(VALUES)
            case _ if isinstance(holder, list):
                holder.extend(holder[:1] * 3)
        if not list(_places(record)):
            break
    only_corrupt(kind, sealed(kind, msgspec.json.format(msgspec.json.encode(_writable(record)), indent=1) + b"\n"))


@each_record
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_bytes_that_are_replaced(kind: Example, data: st.DataObject) -> None:
    good = kind.data
    first = data.draw(st.integers(0, len(good)))
    last = data.draw(st.integers(first, min(len(good), first + 40)))
    put = data.draw(
        st.binary(max_size=20) | st.sampled_from([b"[" * 5000, b'{"a":' * 5000, b"\\ud800", b'"', b"9" * 5000])
    )
    changed = good[:first] + put + good[last:]
    only_corrupt(kind, changed)
    only_corrupt(kind, sealed(kind, changed))


@each_record
@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
@example(data=b"[" * 200_000 + b"]" * 200_000)
@example(data=b'{"format": 1, "a": ' * 200_000)
@example(data=b'{"format": ' + b"[" * 200_000)
def test_any_bytes(kind: Example, data: bytes) -> None:
    only_corrupt(kind, data)


def sealed(kind: Example, data: bytes) -> bytes:
    """`data` with the right seal, as an attacker can make it; the record may have one already."""
    if not kind.sealed:
        return data
    lines = data.rpartition(b',\n "sha256": "')[0] or data.removesuffix(b"\n}\n")
    return records.codec.sealed(lines)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each place in the record: its holder, and its key or index."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in list(keys):
        yield value, key
        yield from _places(value[key])


def _writable(value: Any) -> Any:
    """`value` with large numbers as JSON has them, which msgspec does not write."""
    if isinstance(value, dict):
        return {key: _writable(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_writable(each) for each in value]
    return msgspec.Raw(str(value).encode()) if isinstance(value, int) and abs(value) >= 2**63 else value
