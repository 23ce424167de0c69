"""What is stored has one written form, which does not follow from the names in the code."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from da_agent.domain.records.codec import SHAPES
from da_agent.errors import Corrupt
from tests.stored import EXAMPLES, FOLDER, Example

each_record = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)


@each_record
def test_the_committed_file_is_read_as_this_value(example: Example) -> None:
    assert example.decode(example.data) == example.value


@each_record
def test_this_value_is_written_as_the_committed_file(example: Example) -> None:
    assert example.encode(example.value) == example.data


def test_every_kind_of_record_has_a_committed_file() -> None:
    assert {type(example.value) for example in EXAMPLES} == {shape.value for shape in SHAPES}
    assert {example.path for example in EXAMPLES} == set(FOLDER.iterdir())


@each_record
def test_the_committed_file_has_something_in_every_field(example: Example) -> None:
    assert [path for path, value in _leaves(msgspec.json.decode(example.data)) if value in (None, [], {})] == []


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_no_name_of_a_value_or_its_fields_can_be_part_of_a_shape(shape: Any) -> None:
    foreign = msgspec.inspect.DataclassType, msgspec.inspect.EnumType, msgspec.inspect.CustomType
    found = list(_types(msgspec.inspect.type_info(shape.wire)))
    assert [each for each in found if isinstance(each, foreign)] == []
    assert any(isinstance(each, msgspec.inspect.StructType) for each in found)


@each_record
def test_the_format_is_the_first_key_and_must_be_there(example: Example) -> None:
    assert example.data.startswith(b'{\n "format": 1,\n')
    with pytest.raises(Corrupt, match=rf"^{example.path.name} is not a valid {example.called} record: .*`format`"):
        example.decode(example.data.replace(b' "format": 1,\n', b""))


@each_record
@pytest.mark.parametrize("number", [0, 2, 2**70])
def test_a_record_of_an_unknown_format_is_refused_in_one_sentence(example: Example, number: int) -> None:
    sentence = (
        f"cannot read {example.path.name}: it has format {number}, and this agent knows format 1. "
        "Update da_agent on this node."
    )
    for data in (example.data.replace(b'"format": 1', f'"format": {number}'.encode()), b'{"format": %d}' % number):
        with pytest.raises(Corrupt) as caught:
            example.decode(data)
        assert str(caught.value) == sentence


@each_record
def test_a_key_that_is_not_known_is_refused_unread(example: Example) -> None:
    """Also one with 200,000 nested lists."""
    for value in (b'["red"]', b"[" * 200_000 + b"]" * 200_000, b'{"a":' * 200_000 + b"1" + b"}" * 200_000):
        data = example.data.replace(b'"format": 1,', b'"format": 1, "colour": ' + value + b",")
        with pytest.raises(Corrupt, match="contains unknown field `colour`"):
            example.decode(data)


@each_record
@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"x": ' * 100_000])
def test_what_is_no_record_is_named(example: Example, damage: bytes) -> None:
    with pytest.raises(Corrupt, match=rf"^{example.path.name} is not a valid {example.called} record"):
        example.decode(damage)


@pytest.mark.parametrize(
    "example", [each for each in EXAMPLES if each.name not in ("conformance", "used_store")], ids=lambda each: each.name
)
def test_a_time_without_a_zone_is_refused(example: Example) -> None:
    assert b'Z"' in example.data
    with pytest.raises(Corrupt, match="timezone"):
        example.decode(example.data.replace(b'Z"', b'"', 1))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("release", b'"number": 7', b'"number": 0'),
        ("release", b'"number": 7', b'"number": 10000000000'),
        ("release", b'"rollback_of": 5', b'"rollback_of": -5'),
        ("release", b'"size": 120', b'"size": -120'),
        ("release", b'"sha256": "' + b"a" * 64, b'"sha256": "../a'),
        ("release", b'"name": "docassemble.crt"', b'"name": "../docassemble.crt"'),
        ("release", b'"filename": "shop-1.2', b'"filename": "../shop-1.2'),
        ("release", b'"original": "' + b"f" * 64, b'"original": "../f'),
        ("rollout", b'"generation": 12', b'"generation": -1'),
        ("rollout", b'"generation": 12', b'"generation": 1e999'),
        ("rollout", b'"canary": 2', b'"canary": -2'),
        ("rollout", b'"slot_timeout": "PT240S"', b'"slot_timeout": "-PT240S"'),
        ("rollout", b'"slot_timeout": "PT240S"', b'"slot_timeout": "PT0S"'),
        ("rollout", b'"state": "stable"', b'"state": "proven"'),
        ("report", b'"target": 7', b'"target": 0'),
        ("report", b'"phase": "probation"', b'"phase": "proving"'),
        ("rollout", b'"slot_timeout": "PT240S"', b'"slot_timeout": "P1D"'),
        ("rollout", b'"slot_timeout": "PT240S"', b'"slot_timeout": "P99999999999D"'),
        ("rollout", b'"node": "web-1"', b'"node": "../web-1"'),
        ("rollout", b'"node": "web-1"', b'"node": "web-1\\n"'),
        ("rollout", b'"updated": [\n  "web-2"', b'"updated": [\n  ""'),
        ("report", b'"node": "web-1"', b'"node": "' + b"a" * 201 + b'"'),
        ("report", b'"problem": "', b'"problem": "' + b"a" * 1000),
        ("report", b'"started_at": "2026', b'"started_at": "0001'),
        ("report", b'"started_at": "2026', b'"started_at": "9999'),
        ("lease", b'"until": "2026', b'"until": "9999'),
        ("verdict", b'"size": 120', b'"size": -1'),
        ("node_state", b'"attempt": 2', b'"attempt": -1'),
        ("node_state", b'"live": 5', b'"live": "five"'),
    ],
)
def test_what_is_out_of_range_is_refused(name: str, old: bytes, new: bytes) -> None:
    (example,) = (each for each in EXAMPLES if each.name == name)
    assert old in example.data
    with pytest.raises(Corrupt, match=rf"^{name}\.json is not a valid"):
        example.decode(example.data.replace(old, new, 1))


def _leaves(found: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(found, dict) and found:
        for key, value in found.items():
            yield from _leaves(value, f"{path}.{key}")
    elif isinstance(found, list) and found:
        for value in found:
            yield from _leaves(value, f"{path}[]")
    else:
        yield path, found


def _types(kind: msgspec.inspect.Type) -> Iterator[msgspec.inspect.Type]:
    yield kind
    if isinstance(kind, msgspec.inspect.Metadata):
        yield from _types(kind.type)
    elif isinstance(kind, msgspec.inspect.UnionType):
        for each in kind.types:
            yield from _types(each)
    elif isinstance(kind, msgspec.inspect.CollectionType):
        yield from _types(kind.item_type)
    elif isinstance(kind, msgspec.inspect.StructType):
        for field in kind.fields:
            yield from _types(field.type)
