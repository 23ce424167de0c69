"""What config.yml says, once it has been found to be right."""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from da_agent.domain import certificate_places, docassemble_keys, documents, keys
from da_agent.domain.docassemble_keys import canonical
from da_agent.domain.documents import Entry, Mistake, Scalar, Section
from da_agent.domain.packages import Indexes
from da_agent.domain.settings import Settings, names_application

OUR_SECTION = "da agent"


@dataclass(frozen=True, slots=True)
class Configuration:
    """A valid configuration. The file's bytes are never made from it: they go through as people wrote them."""

    root: Section = field(repr=False)  # has passwords in it
    settings: Settings
    indexes: Indexes = field(repr=False)

    def value(self, *path: str) -> object:
        """What stands under these keys, in either spelling; None when nothing does."""
        found: documents.Value = self.root
        for name in path:
            entry = docassemble_keys.find(found, name) if isinstance(found, Section) else None
            if entry is None:
                return None
            found = entry.value
        return found.plain


def parse(data: bytes) -> Configuration:
    """Raises Refused with every mistake at once, each with its line and key, and without values that may be secret."""
    document = documents.parse(data, keys.CONFIG)
    root = document.root
    mistakes = [*document.mistakes, *docassemble_keys.check(root), *_misspelt_section(root), *_index_mistakes(root)]
    mistakes += certificate_places.check(root)
    settings = Settings()
    section = docassemble_keys.find(root, OUR_SECTION)
    if section is not None:
        settings = _settings(section, mistakes)
    documents.refuse(keys.CONFIG, mistakes)
    return Configuration(root, settings, _indexes(root))


# ---- our section ----------------------------------------------------------------------------------------------

_DURATIONS = {"poll interval": (1, 3600), "quiet period": (0, 600), "start timeout": (5, 3600)}
_COUNTS = {"processes": (1, 64), "threads": (1, 256)}
_NAMES = (*_DURATIONS, *_COUNTS, "application")
_DURATION = re.compile(r"(\d+(?:\.\d+)?) *([smh]?)", re.ASCII)
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


def _misspelt_section(root: Section) -> Iterator[Mistake]:
    """Keys that can only be meant for us: a section that silently does nothing is the worst answer."""
    for entry in root.entries:
        if not isinstance(entry.key, str) or canonical(entry.key) == OUR_SECTION:
            continue
        if difflib.SequenceMatcher(None, entry.key.lower(), OUR_SECTION).ratio() > 0.8:
            yield Mistake(entry.line, f'"{entry.key}" is unknown: did you mean "{OUR_SECTION}"?')


def _settings(section: Entry, mistakes: list[Mistake]) -> Settings:
    """What our section says; adds to `mistakes` what it may not say."""
    path = str(section.key)
    if section.value.plain is None:
        return Settings()
    if not isinstance(section.value, Section):
        mistakes.append(Mistake(section.line, f'"{path}" must be a mapping of keys and values'))
        return Settings()
    mistakes.extend(docassemble_keys.both_spellings(section.value, path))
    values: dict[str, Any] = {}
    for entry in section.value.entries:
        try:
            read = _setting(entry)
        except ValueError as error:
            mistakes.append(Mistake(entry.line, f'"{documents.below(path, entry.key)}" {error}'))
        else:
            values.update(read)
    return Settings(**values)


def _setting(entry: Entry) -> dict[str, Any]:
    """One setting under its name; nothing for an empty one. ValueError says what is wrong with it."""
    name, plain = str(canonical(entry.key)), entry.value.plain
    if name not in _NAMES:
        raise ValueError(_unknown(name))
    field_name = name.replace(" ", "_")
    if plain is None:
        return {}
    if name in _DURATIONS:
        return {field_name: timedelta(seconds=_seconds(plain, *_DURATIONS[name]))}
    if name in _COUNTS:
        low, high = _COUNTS[name]
        if type(plain) is not int or not low <= plain <= high:
            raise ValueError(f"must be a whole number from {low} to {high}, not {_quoted(entry)}")
        return {field_name: plain}
    if not isinstance(plain, str) or not names_application(plain):
        raise ValueError(f"must be MODULE:CALLABLE, such as `shop.wsgi:application`, not {_quoted(entry)}")
    return {field_name: plain}


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name.lower().replace("-", " "), _NAMES, n=1)
    if close:
        return f'is unknown: did you mean "{close[0]}"?'
    return f"is unknown: there are {', '.join(sorted(_NAMES))}"


def _seconds(plain: object, low: int, high: int) -> float:
    seconds = float("nan")
    if isinstance(plain, str) and (match := _DURATION.fullmatch(plain.strip())):
        seconds = float(match[1]) * _UNITS[match[2]]
    elif isinstance(plain, int | float) and not isinstance(plain, bool):
        seconds = plain
    if not low <= seconds <= high:
        raise ValueError(f"must be from {low} to {high} seconds, such as 30, 30s or 2m, not {plain!r:.50}")
    return seconds


def _quoted(entry: Entry) -> str:
    return f"{entry.value.plain!r:.50}" if isinstance(entry.value, Scalar) else "a list or a mapping"


# ---- indexes of packages --------------------------------------------------------------------------------------


def names_index(text: str) -> bool:
    """Whether `text` is a URL under which an index of packages can be."""
    return re.fullmatch(r"(https?|file)://\S+", text) is not None


_INDEX_KEYS = ("pip index url", "pip extra index urls")


def _index_mistakes(root: Section) -> Iterator[Mistake]:
    for name in _INDEX_KEYS:
        entry = docassemble_keys.find(root, name)
        urls = _texts(root, name)
        if entry and not all(map(names_index, urls)):
            # The value itself may hold a password.
            yield Mistake(entry.line, f'"{entry.key!s}" must be a URL that begins with https://, http:// or file://')
        if entry and name == _INDEX_KEYS[0] and len(urls) > 1:
            yield Mistake(entry.line, f'"{entry.key!s}" must be one URL: put others under "{_INDEX_KEYS[1]}"')


def _indexes(root: Section) -> Indexes:
    urls = _texts(root, "pip index url")
    return Indexes(
        urls[0] if urls else None, tuple(_texts(root, "pip extra index urls")), tuple(_texts(root, "pip trusted host"))
    )


def _texts(root: Section, name: str) -> list[str]:
    """The words of a text, or of every text of a list; the types have their own check."""
    entry = docassemble_keys.find(root, name)
    plain = entry.value.plain if entry else None
    items = plain if isinstance(plain, list) else [plain]
    return [word for item in items if isinstance(item, str) for word in item.split()]
