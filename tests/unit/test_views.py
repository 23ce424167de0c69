"""What `--json` prints has one form, which does not follow from the names in the code, and is documented key by key."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from da_agent.domain.node.node_states import NodeState
from da_agent.domain.node.reports import NodeStatus
from da_agent.domain.node.twins import Twins
from da_agent.domain.release.differences import Change
from da_agent.domain.rollout.plans import RolloutPlan
from da_agent.views import (
    clusters,
    conformances,
    contents,
    dev_clusters,
    differences,
    nodes,
    outputs,
    plans,
    releases,
    removals,
)
from da_agent.views.outputs import Output
from da_agent.workflows.admin.statuses import Here, History, Status, There
from da_agent.workflows.publish.plans import Plan
from da_agent.workflows.records.inspections import Difference, View
from da_agent.workflows.upkeep.garbage import Collected, Freed
from tests.stored import CONFORMANCE, LATER, NODE_STATE, NOON, REPORT, ROLLOUT, VERDICT
from tests.stored import RELEASE as STORED

GOLDEN = Path(__file__).parent / "golden" / "views"
PAGE = Path(__file__).parents[2] / "docs" / "json.md"

(_CERTIFICATE,) = STORED.contents.certificates
RELEASE = replace(STORED, contents=replace(STORED.contents, certificates=(replace(_CERTIFICATE, name="tls.key"),)))
"""With a key that the web server does not use."""
TWINS = Twins("web-1", "one", "10.0.0.7:80", "two", "10.0.0.8:80")
DAMAGED = ".agent/nodes/web-9.json is not a valid report record: Input data was truncated"
CHANGES = (Change("timezone", "UTC", "CET"), Change("added", None, "1"))
STATUS = Status(
    Here("web-1", "/srv/docassemble", 5, NODE_STATE, NOON),
    There(
        NOON,
        "s3://shop",
        RELEASE,
        VERDICT,
        True,
        (NodeStatus(REPORT, NOON),),
        ROLLOUT,
        ("web-1",),
        (TWINS,),
        (DAMAGED,),
    ),
    None,
)
PLAN = Plan(
    before=6,
    release=8,
    configuration=CHANGES,
    certificates=(Change("docassemble.crt", None, "until 2027-01-01"),),
    packages=(Change("shop", "1.2", "1.3"),),
    needs=("reload",),
    release_command=("migrate …",),
    rollout=RolloutPlan(4, 1, 2, 2, timedelta(seconds=60), timedelta(seconds=90), 5),
    paused=ROLLOUT.paused,
    quarantine="release 7 is quarantined",
    why_no_https="HTTPS is not served: certs/ has the key tls.key",
)
OUTPUTS: dict[str, Output] = {
    "status": clusters.of(STATUS),
    "why": nodes.why("web-1", "web-1 runs release 5."),
    "history": releases.history(History((RELEASE,), (DAMAGED,))),
    "show": contents.of(
        View(7, NOON, "web-1", "a push", {"timezone": "UTC"}, {"docassemble.crt": "2027-01-01"}, {"shop": "1.2"})
    ),
    "diff": differences.of(Difference(6, 7, CHANGES, (Change("docassemble.crt", "a", "b"),), CHANGES)),
    "plan": plans.of(PLAN),
    "gc": removals.of(
        Collected((1, 2), (".agent/blobs/sha256/aa/aa",), 4096, ("web-9",), (DAMAGED,)),
        Freed((1,), ("aa",)),
        dry_run=True,
    ),
    "doctor store": conformances.of(CONFORMANCE),
    "dev status": dev_clusters.of(
        "file:///srv/store",
        [dev_clusters.DevNodeView(node="node1", running=True, url="http://127.0.0.1:8080", release=7)],
    ),
}

each_output = pytest.mark.parametrize("command", OUTPUTS)


@each_output
def test_the_output_is_the_committed_file(command: str) -> None:
    path = GOLDEN / f"{command.replace(' ', '_')}.json"
    assert outputs.json(OUTPUTS[command]) + "\n" == path.read_text(encoding="utf-8")


@each_output
def test_the_committed_file_has_something_in_every_key(command: str) -> None:
    printed = msgspec.json.decode(msgspec.json.encode(OUTPUTS[command]))
    # The problem of `status` is there when the cluster is not, and a change without a value before was added.
    empty = [path for path, value in _leaves(printed) if value is None and not path.endswith((".before", "problem"))]
    assert empty == []


@each_output
def test_the_format_is_the_first_key(command: str) -> None:
    assert outputs.json(OUTPUTS[command]).startswith('{\n  "format": 1,\n')


@each_output
def test_no_name_of_a_value_or_its_fields_can_be_part_of_an_output(command: str) -> None:
    kinds = {type(each) for _, each in _types(msgspec.inspect.type_info(type(OUTPUTS[command])), "")}
    foreign = {msgspec.inspect.DataclassType, msgspec.inspect.EnumType, msgspec.inspect.CustomType}
    assert kinds & foreign == set()


@each_output
def test_every_key_is_in_the_documentation_with_its_type_and_no_other(command: str) -> None:
    section = re.search(rf"^## `da-agent {command}[^`]*`\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert section is not None
    documented = re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", section[1], re.MULTILINE)
    assert documented == list(_documented(type(OUTPUTS[command])))


def test_every_command_with_json_has_its_section_and_its_file() -> None:
    assert re.findall(r"^## `da-agent ([a-z ]+?)(?: [A-Z[].*)?`$", PAGE.read_text(), re.MULTILINE) == list(OUTPUTS)
    assert sorted(path.stem.replace("_", " ") for path in GOLDEN.iterdir()) == sorted(OUTPUTS)


def test_a_machine_without_a_node_and_a_store_that_does_not_answer_are_null() -> None:
    shown = clusters.of(Status(None, None, "cannot read the store"))
    assert (shown.this_node, shown.cluster, shown.problem) == (None, None, "cannot read the store")
    assert clusters.lines(shown) == ["The state of the cluster is unknown: cannot read the store"]


def test_a_node_without_a_probation_has_none() -> None:
    assert nodes.this(Here("web-1", "/srv", None, NodeState(live=None), LATER)).probation is None


def _documented(output: type[Output]) -> Iterator[tuple[str, str]]:
    """The rows of docs/json.md: each key with its path, and its type in words."""
    for path, kind in _types(msgspec.inspect.type_info(output), ""):
        words = _words(kind)
        if path and words:
            yield path, words


def _types(kind: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, kind
    if isinstance(kind, msgspec.inspect.UnionType):
        for each in kind.types:
            if not isinstance(each, msgspec.inspect.NoneType):
                yield from list(_types(each, path))[1:]
    elif isinstance(kind, msgspec.inspect.VarTupleType):
        yield from list(_types(kind.item_type, f"{path}[]"))[1:]
    elif isinstance(kind, msgspec.inspect.StructType):
        for field in kind.fields:
            yield from _types(field.type, f"{path}.{field.encode_name}".lstrip("."))


def _words(kind: Any) -> str:
    inspect = msgspec.inspect
    if isinstance(kind, inspect.UnionType):
        return " or ".join(
            sorted((_words(each) or "object" for each in kind.types), key=lambda each: (each == "null", each))
        )
    if isinstance(kind, inspect.VarTupleType):
        return f"list of {_words(kind.item_type) or 'object'}s"
    names: dict[Any, str] = {
        inspect.IntType: "integer",
        inspect.FloatType: "number",
        inspect.StrType: "string",
        inspect.BoolType: "boolean",
        inspect.DateTimeType: "time",
        inspect.NoneType: "null",
        inspect.LiteralType: "1",
        inspect.DictType: "object of strings",
        inspect.StructType: "object",
    }
    return names[type(kind)]


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict) and value:
        for name, each in value.items():
            yield from _leaves(each, f"{path}.{name}")
    elif isinstance(value, list) and value:
        for number, each in enumerate(value):
            yield from _leaves(each, f"{path}[{number}]")
    else:
        yield path, value


def test_times_carry_their_zone() -> None:
    text = outputs.json(OUTPUTS["status"])
    found = re.findall(r'"(\d{4}-\d\d-\d\dT[^"]+)"', text)
    assert found
    assert all(datetime.fromisoformat(each).utcoffset() == timedelta() for each in found)


def test_the_logs_of_all_nodes_are_not_masked_one_by_one() -> None:
    shown = nodes.of([NodeStatus(REPORT, NOON)], now=NOON)
    assert [hasattr(each, "log") for node in shown for each in node.rejected] == [False]
    (this,) = nodes.this(Here("web-1", "/srv/docassemble", 5, NODE_STATE, NOON)).rejected
    assert this.log == ("a line",)
