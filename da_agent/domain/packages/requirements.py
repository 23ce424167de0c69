"""What people want installed: the lines of requirements.txt, and the distributions that lie beside it.

A line is a name with what is said about its version (PEP 508), and nothing else: whatever would make the result depend
on the machine that resolves it (options, other files, paths) is refused.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from da_agent.domain.packages.wheels import SUFFIXES, WHEEL
from da_agent.domain.store import keys
from da_agent.errors import Invalid


def normalise(name: str) -> str:
    """The one spelling of a distribution's name: `Docassemble.Base` and `docassemble_base` are the same."""
    return canonicalize_name(name.strip())


# ---- requirements.txt -----------------------------------------------------------------------------------------

_COMMENT = re.compile(r"(^|\s+)#.*$")
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
    """The requirements without comments, in order. Raises Invalid with every mistake at once, each with its line."""
    lines: list[_Line] = []
    mistakes: list[tuple[int, str]] = []
    for number, raw in enumerate(_decode(text).splitlines(), start=1):
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
    """`text` with this requirement in the place of the lines of the same name, or at the end; the rest stays as it is.

    Invalid when it is not a valid requirement by itself.
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
    """`text` without the lines of that name; the same bytes when there is none."""
    lines = _decode(text).splitlines(keepends=True)
    return "".join(line for line in lines if _name(line) != normalise(name)).encode()


def told(requirement: str) -> str:
    """What may be said of it where everybody reads it for ever: nothing of a URL, which may have a password in it."""
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
    """A line without its comment, and without the mark that some editors put before the first."""
    return _COMMENT.sub("", line.removeprefix("\ufeff")).strip()


def _name(line: str) -> str | None:
    """The normalised name that a line is about; None for comments and for what is no requirement."""
    try:
        return normalise(Requirement(_content(line)).name)
    except InvalidRequirement:
        return None


def _requirement(content: str) -> Requirement:
    """ValueError says, without the line itself, which may have a password in it, what is wrong and what helps."""
    if len(content.splitlines()) != 1:
        raise ValueError("must be one line")
    if content.startswith("-") or re.search(r"\s--?[a-z]", content):
        raise ValueError(_option(content))
    if content.endswith("\\"):
        raise ValueError("goes on in the next line: write each requirement on one line, without hashes")
    if content.startswith((".", "/", "~")) or (content.lower().endswith(SUFFIXES) and "@" not in content):
        # Before anything else: most file names are names of distributions as well.
        raise ValueError("is a path: put the file itself into packages/")
    try:
        requirement = Requirement(content)
    except InvalidRequirement as error:
        if "://" in content and not re.match(r"[\w.-]+(\[.*\])?\s*@", content):
            raise ValueError("is a URL without a name: write `NAME @ https://…`") from error
        reason = str(error).split("\n", 1)[0]
        raise ValueError(f"is not a requirement such as `docassemble.base>=1.4`: {_hidden(reason)}") from error
    if requirement.url is not None and not requirement.url.startswith("https://"):
        remedy = "put the file itself into packages/"
        if requirement.url.startswith("git+"):
            remedy = "use the address of an archive, such as https://HOST/OWNER/NAME/archive/TAG.zip"
        raise ValueError(f"names a URL that does not begin with https://, which not every node can read: {remedy}")
    return requirement


def _option(content: str) -> str:
    option = next((word for word in re.split(r"[\s=]+", content) if word.startswith("-")), "")
    for names, remedy in _OPTIONS.items():
        if option in names:
            return f"has the option {option}, which is not read here: {remedy}"
    if option == "--hash":
        return "has the option --hash: leave it out, the release records the hash of every package by itself"
    return f"has the option {option:.40}: only requirements such as `docassemble.base>=1.4` are allowed"


def _hidden(text: str) -> str:
    """Without the user and password that a URL may carry: a password may have slashes and an @ in it."""
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


# ---- distributions --------------------------------------------------------------------------------------------


class Kind(Enum):
    """A wheel is installed as it is; a source is built into one first."""

    WHEEL = "wheel"
    SOURCE = "source"


@dataclass(frozen=True, slots=True)
class Distribution:
    """What a file name promises. Normalised name and version are None where only a build can tell.

    `tags` are those of a wheel (`py3-none-any`): the Pythons and platforms that it is for.
    """

    filename: str
    name: str | None
    version: Version | None
    kind: Kind
    tags: frozenset[str] = frozenset()


def distribution(filename: str) -> Distribution:
    """Read a file name of packages/. Invalid when pip could not make anything of it."""
    where = f"{keys.PACKAGES}{filename}"
    if not re.fullmatch(r"\w[\w.+!-]*", filename, re.ASCII):
        raise Invalid(f"{where}: must have a name of letters, digits and ._+!- and lie in {keys.PACKAGES} itself")
    if filename.endswith(WHEEL):
        try:
            name, version, _, tags = parse_wheel_filename(filename)
        except InvalidWheelFilename as error:
            raise Invalid(f"{where}: is not a wheel's name, such as shop-1.0-py3-none-any.whl: {error}") from error
        return Distribution(filename, name, version, Kind.WHEEL, frozenset(map(str, tags)))
    if not filename.endswith(SUFFIXES):
        raise Invalid(f"{where}: is no distribution: only .whl, .tar.gz and .zip are")
    try:
        name, version = parse_sdist_filename(filename)
    except InvalidSdistFilename:
        # The archive of a branch, as people download it: docassemble-shop-main.zip.
        return Distribution(filename, None, None, Kind.SOURCE)
    return Distribution(filename, name, version, Kind.SOURCE)
