"""YAML documents as frozen values with line numbers, read more strictly than YAML itself.

Input that a lenient reader would guess, drop or execute is invalid: a repeated key, a tag that creates objects,
a second document, aliases that expand to far more than is written. The bytes are only read, never rewritten.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime

import yaml

from da_agent.domain import limits
from da_agent.errors import Invalid

Plain = str | int | float | bool | date | datetime | bytes | None


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value. `line` is its line number, counted from 1."""

    plain: Plain
    line: int


@dataclass(frozen=True, slots=True)
class Series:
    """A list."""

    items: tuple["Value", ...]
    line: int

    @property
    def plain(self) -> list[object]:
        return [item.plain for item in self.items]


@dataclass(frozen=True, slots=True)
class DocumentEntry:
    """A key, its line number, and its value."""

    key: Plain
    line: int
    value: "Value"


@dataclass(frozen=True, slots=True)
class Section:
    """A mapping: its entries in the order of the file, merged ones (`<<`) last."""

    entries: tuple[DocumentEntry, ...]
    line: int

    @property
    def plain(self) -> dict[object, object]:
        return {entry.key: entry.value.plain for entry in self.entries}


Value = Scalar | Series | Section


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """Something to correct. Mistakes sort by line."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Document:
    """The top-level mapping, and the mistakes that did not prevent reading it."""

    root: Section
    mistakes: tuple[Mistake, ...]


def parse(data: bytes, name: str) -> Document:
    """The single document in `data`. Raises Invalid, with `name`, line and column, when it cannot be read at all."""
    text = _decode(data, name)
    try:
        _check_depth(text, name)
        top = yaml.compose(text, Loader=Loader)
    except yaml.MarkedYAMLError as error:
        raise Invalid(f"{name} {_syntax(error, text)}") from error
    if top is None or (isinstance(top, yaml.ScalarNode) and top.tag == _PREFIX + "null"):
        raise Invalid(f"{name} is empty: it must hold keys and values, such as `db:`")
    if not isinstance(top, yaml.MappingNode):
        raise Invalid(f"{name} line {top.start_mark.line + 1}: must begin with a key and a colon, such as `db:`")
    reader = _Reader(name)
    root = reader.read(top, "")
    assert isinstance(root, Section)
    return Document(root, tuple(sorted(reader.mistakes)))


def refuse(name: str, mistakes: Iterable[Mistake]) -> None:
    """Raise Invalid with all mistakes in the order of the file; does nothing when there are none."""
    sentences = [f"{name} line {mistake.line}: {mistake.text}" for mistake in sorted(set(mistakes))]
    if sentences:
        raise Invalid(sentences)


def below(path: str, key: Plain) -> str:
    """The name of a key in messages, such as `s3.bucket`."""
    name = "".join(each if each.isprintable() else "?" for each in f"{key!s:.100}")
    return f"{path}.{name}" if path else name


# ---- bytes to nodes -------------------------------------------------------------------------------------------

Loader: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PREFIX = "tag:yaml.org,2002:"


def _decode(data: bytes, name: str) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Invalid(f"{name} line {line}: is not UTF-8 text: save the file in the encoding UTF-8") from error
    if bad := yaml.reader.Reader.NON_PRINTABLE.search(text):
        line = text.count("\n", 0, bad.start()) + 1
        raise Invalid(f"{name} line {line}: has the control character U+{ord(bad.group()):04X}: delete it")
    return text


def _check_depth(text: str, name: str) -> None:
    """Raise Invalid when the text is nested too deep.

    This runs before nodes are built: the C reader builds them by unlimited recursion, which would crash the process.
    """
    depth = 0
    for event in yaml.parse(text, Loader=Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > limits.DEPTH:
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise Invalid(f"{name} line {line}: is nested deeper than {limits.DEPTH} levels")


def _syntax(error: yaml.MarkedYAMLError, text: str) -> str:
    """The place and the reason of a syntax error, with the remedy for common mistakes."""
    mark, start, problem = error.problem_mark, error.context_mark, error.problem or ""
    assert mark is not None  # every error of pyyaml's scanner, parser and composer has one
    lines = text.splitlines()
    rest = lines[mark.line][mark.column :] if mark.line < len(lines) else ""
    begin = f" that begins in line {start.line + 1}" if start else ""
    if rest.startswith("\t"):
        reason = "has a tab where YAML allows only spaces: indent with spaces"
    elif problem == "but found another document":
        reason = "begins a second document: only one is allowed, delete the line `---`"
    elif problem == "second occurrence":
        reason = f"defines the name of an alias (&name) again, after {begin.removeprefix(' that begins in ')}"
    elif "quoted scalar" in (error.context or "") and "end of stream" in problem:
        reason = f"the text in quotes{begin} has no closing quote"
    elif "mapping values are not allowed" in problem:
        reason = "has a colon that YAML does not expect: check the indentation, or put the text into quotes"
    elif "cannot start any token" in problem:
        reason = f'has a text that begins with "{rest[:1]}": put it into quotes'
    else:
        reason = f"cannot be read as YAML: {problem}"
        if error.context and start and start.line != mark.line:
            reason += f" ({error.context}{begin})"
    return f"line {mark.line + 1}, column {mark.column + 1}: {reason}"


# ---- nodes to values ------------------------------------------------------------------------------------------

_TAGS = {
    yaml.ScalarNode: {_PREFIX + kind for kind in ("null", "bool", "int", "float", "binary", "timestamp", "str")},
    yaml.SequenceNode: {_PREFIX + kind for kind in ("seq", "omap", "pairs")},
    yaml.MappingNode: {_PREFIX + kind for kind in ("map", "set")},
}
_MERGE = _PREFIX + "merge"
_UNREADABLE = (yaml.YAMLError, ValueError, LookupError, AttributeError, ArithmeticError)
"""What pyyaml's constructors raise for `!!int x`, the 30th of February or a number that is too large."""


@dataclass(slots=True)
class _Reader:
    """Turns nodes into values. A node with several aliases is read once, so the work grows only with the file size."""

    name: str
    mistakes: list[Mistake] = field(default_factory=list)
    done: dict[int, Value] = field(default_factory=dict)
    weights: dict[int, tuple[int, int]] = field(default_factory=dict)
    opened: set[int] = field(default_factory=set)
    constructor: yaml.constructor.SafeConstructor = field(default_factory=yaml.constructor.SafeConstructor)

    def read(self, node: yaml.Node, path: str) -> Value:
        if id(node) in self.done:
            return self.done[id(node)]
        if id(node) in self.opened:
            raise Invalid(f"{self.name} line {_line(node)}: contains itself through an alias (*name)")
        self.opened.add(id(node))
        value = self._convert(node, path)
        self.done[id(node)] = value
        self._weigh(node)
        return value

    def _convert(self, node: yaml.Node, path: str) -> Value:
        if node.tag not in _TAGS[type(node)]:
            text = f'has the tag "{_shown(node.tag)}": only plain values are allowed, delete the tag'
            self._mistake(_line(node), path, text)
            return Scalar(None, _line(node))
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if isinstance(node, yaml.SequenceNode):
            items = enumerate(node.value, start=1)
            return Series(tuple(self.read(item, f"{path}[{number}]") for number, item in items), _line(node))
        assert isinstance(node, yaml.MappingNode)
        return self._section(node, path)

    def _weigh(self, node: yaml.Node) -> None:
        """Count the values and the depth of a node, aliases expanded, to find an alias bomb before it expands."""
        weights = [self.weights.get(id(child), (1, 1)) for child in _children(node)]
        size = 1 + sum(size for size, _ in weights)
        depth = 1 + max((depth for _, depth in weights), default=0)
        if size > limits.VALUES:
            raise Invalid(
                f"{self.name} line {_line(node)}: holds more than {limits.VALUES} values, aliases written out"
            )
        if depth > limits.DEPTH + 1:
            raise Invalid(f"{self.name} line {_line(node)}: is nested deeper than {limits.DEPTH} levels by its aliases")
        self.weights[id(node)] = (size, depth)

    def _scalar(self, node: yaml.ScalarNode, path: str) -> Scalar:
        try:
            plain = self.constructor.construct_object(node)
            str(plain)  # Python reads some huge numbers that it cannot print, and messages must print them
            return Scalar(plain, _line(node))
        except _UNREADABLE:
            kind = _shown(node.tag).removeprefix("!!")
            self._mistake(_line(node), path, f"is not a valid {kind}: put it into quotes if it is a text")
            return Scalar(None, _line(node))

    def _section(self, node: yaml.MappingNode, path: str) -> Section:
        entries: dict[Plain, DocumentEntry] = {}
        merged: list[DocumentEntry] = []
        for key_node, value_node in node.value:
            key = self._key(key_node, path)
            value = self.read(value_node, below(path, key.plain) if key else path)
            if key is None:
                continue
            if (first := entries.get(key.plain)) is not None:
                text = f"is written twice, first in line {first.line}: delete one of the two"
                self._mistake(key.line, below(path, key.plain), text)
                continue
            entries[key.plain] = DocumentEntry(key.plain, key.line, value)
            if key_node.tag == _MERGE:
                merged += self._merged(value, path, key.line)
        own = [entry for entry in entries.values() if entry.key != "<<"]
        inherited = {entry.key: entry for entry in reversed(merged) if entry.key not in entries}
        return Section((*own, *inherited.values()), _line(node))

    def _key(self, node: yaml.Node, path: str) -> Scalar | None:
        if isinstance(node, yaml.ScalarNode) and node.tag == _MERGE:
            return Scalar(node.value, _line(node))
        if isinstance(node, yaml.ScalarNode) and node.tag in _TAGS[yaml.ScalarNode]:
            return self._scalar(node, path)
        self._mistake(_line(node), path, "has a key that is not a plain value")
        return None

    def _merged(self, value: Value, path: str, line: int) -> Iterator[DocumentEntry]:
        sections = value.items if isinstance(value, Series) else (value,)
        for section in sections:
            if isinstance(section, Section):
                yield from section.entries
            else:
                self._mistake(line, below(path, "<<"), "merges something that is not a mapping")

    def _mistake(self, line: int, path: str, text: str) -> None:
        self.mistakes.append(Mistake(line, f'"{path}" {text}' if path else text))


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        for pair in node.value:
            yield from pair


def _shown(tag: str) -> str:
    return "!!" + tag.removeprefix(_PREFIX) if tag.startswith(_PREFIX) else tag
