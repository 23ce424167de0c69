"""Reads the `da agent` section of config.yml."""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from da_agent.domain.config import docassemble_keys, documents
from da_agent.domain.config.docassemble_keys import canonical
from da_agent.domain.config.documents import DocumentEntry, Mistake, Scalar, Section, Value
from da_agent.domain.config.settings import Health, Settings, names_application
from da_agent.domain.config.strategies import Share
from da_agent.domain.config.visitor_keys import TRUSTED
from da_agent.domain.config.visitors import DIRECT, network
from da_agent.domain.packages.overlaps import Overlap, contradiction
from da_agent.domain.packages.requirements import normalise

OUR_SECTION = "da agent"


def misspelt(root: Section) -> Iterator[Mistake]:
    """A mistake for each top-level key that looks like `da agent`: a misspelt section would silently do nothing."""
    for entry in root.entries:
        if not isinstance(entry.key, str) or canonical(entry.key) == OUR_SECTION:
            continue
        if difflib.SequenceMatcher(None, entry.key.lower(), OUR_SECTION).ratio() > 0.8:
            yield Mistake(entry.line, f'"{entry.key}" is unknown: did you mean "{OUR_SECTION}"?')


def read(root: Section, mistakes: list[Mistake]) -> Settings:
    """The settings of the `da agent` section; appends everything invalid to `mistakes`."""
    section = docassemble_keys.find(root, OUR_SECTION)
    if section is None or section.value.plain is None:
        return Settings()
    path = str(section.key)
    if not isinstance(section.value, Section):
        mistakes.append(Mistake(section.line, f'"{path}" must be a mapping of keys and values'))
        return Settings()
    mistakes.extend(docassemble_keys.both_spellings(section.value, path))
    before, values = len(mistakes), {}
    for entry in section.value.entries:
        try:
            values.update(_setting(entry))
        except ValueError as error:
            mistakes.append(Mistake(entry.line, f'"{documents.below(path, entry.key)}" {error}'))
    settings = _settings(values)
    if len(mistakes) == before:
        mistakes.extend(_together(settings, section, path))
    return settings


def _settings(values: Mapping[str, Any]) -> Settings:
    health, visitors = _part(values, "health_"), _part(values, "visitors_")
    rest = {name: value for name, value in values.items() if not name.startswith(("health_", "visitors_"))}
    return Settings(health=replace(Health(), **health), visitors=replace(DIRECT, **visitors), **rest)


def _part(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}


def _together(settings: Settings, section: DocumentEntry, path: str) -> Iterator[Mistake]:
    """Settings that are valid one by one, but not together."""
    if settings.slot_timeout is not None and settings.slot_timeout < settings.shortest_slot_timeout:
        given, needed = settings.slot_timeout.total_seconds(), settings.shortest_slot_timeout.total_seconds()
        text = f'{path}.slot timeout" of {given:g} s is too short: drain, start timeout, health timeout and'
        yield Mistake(
            section.line, f'"{text} min healthy need {needed:g} s with a margin; leave the setting out to get that'
        )


def _setting(entry: DocumentEntry) -> dict[str, Any]:
    """One setting by its field name; an empty mapping for an empty setting. ValueError has the reason it is invalid."""
    name = str(canonical(entry.key))
    if name not in _READERS:
        raise ValueError(_unknown(name))
    field, read_value = _READERS[name]
    return {} if entry.value.plain is None else {field: read_value(entry.value)}


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name.lower().replace("-", " "), _READERS, n=1)
    if close:
        return f'is unknown: did you mean "{close[0]}"?'
    return f"is unknown: the settings are {', '.join(sorted(_READERS))}"


# ---- values ---------------------------------------------------------------------------------------------------

_DURATION = re.compile(r"(\d+(?:\.\d+)?) *([smhd]?)", re.ASCII)
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def _duration(low: int, high: int, value: Value) -> timedelta:
    plain, seconds = value.plain, float("nan")
    if isinstance(plain, str) and (match := _DURATION.fullmatch(plain.strip())):
        seconds = float(match[1]) * _UNITS[match[2]]
    elif isinstance(plain, int | float) and not isinstance(plain, bool):
        seconds = plain
    if not low <= seconds <= high:
        raise ValueError(f"must be from {low} to {high} seconds, such as 30, 30s or 2m, not {plain!r:.50}")
    return timedelta(seconds=seconds)


def _count(low: int, high: int, value: Value) -> int:
    plain = value.plain
    if type(plain) is not int or not low <= plain <= high:
        raise ValueError(f"must be a whole number from {low} to {high}, not {_quoted(value)}")
    return plain


def _share(value: Value) -> Share:
    plain = value.plain
    if type(plain) is int and plain >= 1:
        return Share(plain)
    if isinstance(plain, str) and (match := re.fullmatch(r"(\d{1,3}) *%", plain, re.ASCII)):
        percent = int(match[1])
        if 1 <= percent <= 100:
            return Share(percent, percent=True)
    raise ValueError(f'must be a whole number of nodes or "1%" to "100%", not {_quoted(value)}')


def _application(value: Value) -> str:
    if not isinstance(value.plain, str) or not names_application(value.plain):
        raise ValueError(f"must be MODULE:CALLABLE, such as `shop.wsgi:application`, not {_quoted(value)}")
    return value.plain


def _text(value: Value) -> str:
    if not isinstance(value.plain, str) or not value.plain.strip():
        raise ValueError(f"must be a text, not {_quoted(value)}")
    return value.plain


def _url_path(value: Value) -> str | None:
    if value.plain is False:
        return None
    if not isinstance(value.plain, str) or not re.fullmatch(r"/[!-~]*", value.plain):
        raise ValueError(f"must be the path of a URL, such as /health_check, or false for none, not {_quoted(value)}")
    return value.plain


def _commands(value: Value) -> tuple[str, ...]:
    plain = value.plain
    lines = plain if isinstance(plain, list) else [plain]
    texts = tuple(line for line in lines if isinstance(line, str) and line.strip())
    if len(texts) < len(lines):
        raise ValueError("must be a command or a list of commands, each a text")
    return texts


_OVERLAP = re.compile(r"([\w.-]+) over ([\w.-]+)", re.ASCII)


def _overlaps(value: Value) -> tuple[Overlap, ...]:
    plain = value.plain
    lines = plain if isinstance(plain, list) else [plain]
    found = [match for line in lines if isinstance(line, str) and (match := _OVERLAP.fullmatch(line.strip()))]
    if len(found) < len(lines):
        raise ValueError('must be a list of texts such as "opencv-python over opencv-python-headless"')
    overlaps = tuple(sorted({Overlap(normalise(match[1]), normalise(match[2])) for match in found}))
    if contradiction(overlaps):
        raise ValueError("contradicts itself: a package cannot be over a package that is over it")
    return overlaps


def _networks(value: Value) -> tuple[str, ...]:
    plain = value.plain
    texts = plain if isinstance(plain, list) else [plain]
    try:
        return tuple(network(text) for text in map(_as_text, texts))
    except ValueError as error:
        raise ValueError(
            "must be the IP address of a proxy, a network such as 10.0.0.0/8, or a list of these"
        ) from error


def _as_text(plain: object) -> str:
    if not isinstance(plain, str):
        raise ValueError(plain)
    return plain


def _quoted(value: Value) -> str:
    return f"{value.plain!r:.50}" if isinstance(value, Scalar) else "a list or a mapping"


_READERS: Mapping[str, tuple[str, Callable[[Value], Any]]] = {
    "poll interval": ("poll_interval", partial(_duration, 1, 3600)),
    "quiet period": ("quiet_period", partial(_duration, 0, 600)),
    "start timeout": ("start_timeout", partial(_duration, 5, 3600)),
    "drain": ("drain", partial(_duration, 0, 600)),
    "slot timeout": ("slot_timeout", partial(_duration, 30, 14400)),
    "max unavailable": ("max_unavailable", _share),
    "canary": ("canary", partial(_count, 0, 1000)),
    "max failures": ("max_failures", partial(_count, 0, 1000)),
    "health path": ("health_path", _url_path),
    "health status": ("health_status", partial(_count, 100, 599)),
    "health text": ("health_text", _text),
    "health command": ("health_command", _text),
    "health timeout": ("health_patience", partial(_duration, 1, 3600)),
    "min healthy": ("health_minimum", partial(_duration, 0, 600)),
    "release command": ("release_command", _commands),
    "application": ("application", _application),
    "overlapping packages": ("overlaps", _overlaps),
    "processes": ("processes", partial(_count, 1, 64)),
    "threads": ("threads", partial(_count, 1, 256)),
    TRUSTED: ("visitors_proxies", _networks),
    "strict transport security": ("visitors_hsts", partial(_duration, 0, 2 * 365 * 24 * 3600)),
}

NAMES = frozenset(_READERS)
"""The names of all settings of the section."""
