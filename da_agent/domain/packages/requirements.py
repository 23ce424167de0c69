"""The lines of requirements.txt.

A line is a PEP 508 requirement and nothing else. Options, other files and paths are invalid, because the result would
depend on the machine that resolves them.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from da_agent.domain import limits
from da_agent.domain.packages.wheels import SUFFIXES
from da_agent.domain.store import keys
from da_agent.errors import Invalid


def normalise(name: str) -> str:
    """The canonical name of a distribution: `Docassemble.Base` and `docassemble_base` both give `docassemble-base`."""
    return canonicalize_name(name.strip())


_COMMENT = re.compile(r"(^|\s+)#.*$")
_OPTION = re.compile(r"(?:^|\s)(--[a-z][a-z-]*|-[a-z])")
"""The name of an option without its value, which may follow a short one without a space: -rother.txt."""

_OPTIONS = {
    ("-r", "--requirement", "-c", "--constraint"): "write the lines of the other file here",
    ("-i", "--index-url"): "use `pip index url` in config.yml",
    ("--extra-index-url",): "use `pip extra index urls` in config.yml",
    ("--trusted-host",): "use `pip trusted host` in config.yml",
    ("-e", "--editable", "-f", "--find-links"): "put the wheel, .tar.gz or .zip into packages/",
}


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    text: str
    requirement: Requirement


def parse(text: bytes) -> tuple[str, ...]:
    """The requirements in order, without comments. Raises Invalid with every mistake at once, each with its line."""
    lines: list[_Line] = []
    mistakes: list[tuple[int, str]] = []
    given = _decode(text).splitlines()
    if len(given) > limits.LINES:
        raise Invalid(f"{keys.REQUIREMENTS} has {len(given)} lines, and may have {limits.LINES}: delete some")
    for number, raw in enumerate(given, start=1):
        if len(raw) > limits.LINE:
            mistakes.append((number, f"has {len(raw)} characters, and may have {limits.LINE}: make it shorter"))
            continue
        content = _content(raw)
        if not content:
            continue
        try:
            lines.append(_Line(number, content, _requirement(content)))
        except ValueError as error:
            mistakes.append((number, str(error)))
    mistakes += _contradictions(lines)
    if mistakes:
        raise Invalid(f"{keys.REQUIREMENTS} line {number}: {mistake}" for number, mistake in sorted(mistakes))
    return tuple(line.text for line in lines)


def add(text: bytes, requirement: str) -> bytes:
    """`text` with `requirement` in place of the lines with the same name, or at the end. Other lines do not change.

    Invalid when `requirement` is not a valid requirement.
    """
    try:
        wanted = requirement.strip()
        name = normalise(_requirement(wanted).name)
    except ValueError as error:
        raise Invalid(f'cannot install "{_hidden(requirement.strip())}": it {error}') from error
    lines = _decode(text).splitlines(keepends=True)
    ending = "\r\n" if any(line.endswith("\r\n") for line in lines) else "\n"
    result, placed = [], False
    for line in lines:
        if _name(line) != name:
            result.append(line if line.endswith(("\n", "\r")) else line + ending)
        elif not placed:
            comment = _COMMENT.search(line.rstrip("\r\n"))
            result.append(wanted + (comment.group() if comment else "") + ending)
            placed = True
    if not placed:
        result.append(wanted + ending)
    return "".join(result).encode()


def remove(text: bytes, name: str) -> bytes:
    """`text` without the requirements called `name`; the same bytes when there are none."""
    lines = _decode(text).splitlines(keepends=True)
    return "".join(line for line in lines if _name(line) != normalise(name)).encode()


def told(requirement: str) -> str:
    """`requirement` as it may appear in permanent public records: without its URL, which may contain a password."""
    name, at, _ = requirement.strip().partition("@")
    if "://" in name:
        return "a URL"
    return f"{name.strip()} @ …" if at else requirement.strip()


def _decode(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise Invalid(f"{keys.REQUIREMENTS} line {line}: is not UTF-8 text: save the file as UTF-8") from error


def _content(line: str) -> str:
    """A line without its comment, and without the byte order mark that some editors put before the first line."""
    return _COMMENT.sub("", line.removeprefix("\ufeff")).strip()


def _name(line: str) -> str | None:
    """The normalised name in a line; None for a comment or anything else that is not a requirement."""
    if len(line) > limits.LINE:
        return None
    try:
        return normalise(Requirement(_content(line)).name)
    except (InvalidRequirement, RecursionError):
        return None


def _requirement(content: str) -> Requirement:
    """Parse one line. ValueError has the reason and the remedy, but not the line, which may contain a password."""
    if len(content) > limits.LINE:
        raise ValueError(f"has more than {limits.LINE} characters: make it shorter")
    if len(content.splitlines()) != 1:
        raise ValueError("must be one line")
    if option := _OPTION.search(content):
        raise ValueError(_option(option[1]))
    if content.endswith("\\"):
        raise ValueError("goes on in the next line: write each requirement on one line, without hashes")
    if re.match(r"[\w+.-]+://", content):
        raise ValueError("is a URL without a name: write `NAME @ https://…`")
    if content.startswith((".", "/", "~")) or (content.lower().endswith(SUFFIXES) and "@" not in content):
        # This check comes before parsing, because most file names are also valid names of distributions.
        raise ValueError("is a path: put the file itself into packages/")
    try:
        requirement = Requirement(content)
    except RecursionError:
        raise ValueError("has too many brackets: write it without them") from None
    except InvalidRequirement as error:
        reason = str(error).split("\n", 1)[0]
        raise ValueError(f"is not a requirement such as `docassemble.base>=1.4`: {_hidden(reason)}") from error
    if requirement.url is not None and not requirement.url.startswith("https://"):
        remedy = "put the file itself into packages/"
        if requirement.url.startswith("git+"):
            remedy = "use the address of an archive, such as https://HOST/OWNER/NAME/archive/TAG.zip"
        raise ValueError(f"names a URL that does not begin with https://, which not every node can read: {remedy}")
    return requirement


def _option(option: str) -> str:
    """Why a line with `option` is invalid, and the remedy."""
    for names, remedy in _OPTIONS.items():
        if option in names:
            return f"has the option {option}, which is not supported: {remedy}"
    if option == "--hash":
        return "has the option --hash: leave it out, the release records the hash of every package by itself"
    return f"has the option {option:.40}: only requirements such as `docassemble.base>=1.4` are allowed"


def _hidden(text: str) -> str:
    """`text` without the user and password of a URL. The match is greedy: a password may contain slashes and @."""
    return re.sub(r"://\S*@", "://…@", text)


def _contradictions(lines: Iterable[_Line]) -> Iterator[tuple[int, str]]:
    first: dict[str, _Line] = {}
    for line in lines:
        if line.requirement.marker is not None:
            continue
        other = first.setdefault(normalise(line.requirement.name), line)
        said = (other.requirement.specifier, other.requirement.url)
        if said != (line.requirement.specifier, line.requirement.url):
            text = f"{line.requirement.name} is already wanted in line {other.number}, with another version"
            yield line.number, f"{text}: write both conditions on one line, or delete one"
