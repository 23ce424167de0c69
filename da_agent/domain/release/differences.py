"""What a release contains, and what differs between two, as text without secrets.

The names of all configuration keys are shown. The values of keys that are known to hold no secret (`public_settings`)
are shown with credentials, tokens and `password=…` in them masked (`redaction`). Of other values only truth values,
small numbers and a few common words are shown, unless the key's name suggests a secret. Of a command line only the
program is shown. Everything below a key whose name suggests a secret is masked, the names of keys in it, too.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from da_agent.domain.certificates import pems
from da_agent.domain.config import documents, public_settings, redaction
from da_agent.domain.config.documents import Section, Series, Value
from da_agent.domain.config.public_settings import Place
from da_agent.domain.packages.wheels import Wheel
from da_agent.errors import Invalid

_LONGEST = 100


@dataclass(frozen=True, slots=True)
class Change:
    """One difference; `before` is None for what was added, `after` for what was removed."""

    name: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        if self.before is None:
            return f"+ {self.name}: {self.after}"
        if self.after is None:
            return f"- {self.name}: {self.before}"
        return f"~ {self.name}: {self.before} -> {self.after}"


def settings(config: bytes) -> dict[str, str]:
    """Every value of a configuration by its path (`db.host`, `dispatch[2]`), masked where it might be secret."""
    return {path: str(leaf) for path, leaf in _leaves(config).items()}


def configuration(before: bytes, after: bytes) -> tuple[Change, ...]:
    """Changed keys, sorted; a key that may be secret is named, and both of its values are masked."""
    old, new = _leaves(before), _leaves(after)
    return tuple(
        Change(path, str(old[path]) if path in old else None, str(new[path]) if path in new else None)
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    )


def expiries(certificates: Mapping[str, bytes], now: datetime) -> dict[str, str]:
    """By file name: until when the first certificate is valid, or what else the file is."""
    return {name: _expiry(data, name, now) for name, data in sorted(certificates.items())}


def files(before: Mapping[str, bytes], after: Mapping[str, bytes], now: datetime) -> tuple[Change, ...]:
    """Certificate files that were added, removed or changed."""
    old, new = expiries(before, now), expiries(after, now)
    return tuple(
        Change(name, old.get(name), "the same, with other bytes" if old.get(name) == new.get(name) else new.get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    )


def packages(before: tuple[Wheel, ...], after: tuple[Wheel, ...]) -> tuple[Change, ...]:
    """Distributions that were added, removed or changed; a rebuilt one keeps its version and is marked."""
    old, new = {wheel.name: wheel for wheel in before}, {wheel.name: wheel for wheel in after}
    changes = []
    for name in sorted(old.keys() | new.keys()):
        was, is_ = old.get(name), new.get(name)
        if was is None or is_ is None:
            changes.append(Change(name, was.version if was else None, is_.version if is_ else None))
        elif was.version != is_.version:
            changes.append(Change(name, was.version, is_.version))
        elif was.blob != is_.blob:
            changes.append(Change(name, was.version, f"{is_.version} with other bytes"))
    return tuple(changes)


_LABELS = frozenset({"name", "variable", "var", "env", "key", "id", "label", "parameter", "option", "header", "field"})
"""Keys that hold the name of a variable: in a list of variables the name stands beside the value."""


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A value, and what may be shown of it."""

    text: str
    shown: str

    def __str__(self) -> str:
        """What may be shown, on one line of at most 100 characters."""
        text = " ".join(self.shown.split())
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _leaves(config: bytes) -> dict[str, _Leaf]:
    document = documents.parse(config, "config.yml")
    return dict(_below("", (), document.root, secret=False))


def _below(path: str, place: Place, value: Value, *, secret: bool) -> Iterator[tuple[str, _Leaf]]:
    """The leaves below `value`. A secret is one leaf with everything below it: the names of its keys may be secret,
    too."""
    if isinstance(value, Section) and value.entries and not secret:
        beside = _is_named_secret(value)
        tokens = [entry for entry in value.entries if redaction.is_token(str(entry.key))]
        if tokens:
            text = str([(entry.key, entry.value.plain) for entry in tokens])
            yield documents.below(path, redaction.MASK), _Leaf(text, redaction.MASK)
        for entry in (each for each in value.entries if each not in tokens):
            there = (*place, entry.key)
            known = public_settings.is_public(there) or public_settings.is_command(there)
            hidden = not known and (beside or redaction.names_secret(str(entry.key)))
            yield from _below(documents.below(path, entry.key), there, entry.value, secret=hidden)
    elif isinstance(value, Series) and value.items and not secret:
        for number, item in enumerate(value.items):
            yield from _below(f"{path}[{number}]", place, item, secret=False)
    else:
        text = "null" if value.plain is None else str(value.plain)
        yield path, _Leaf(text, _shown(text, place, value.plain, secret=secret))


def _shown(text: str, place: Place, plain: object, *, secret: bool) -> str:
    if plain in (None, True, False, [], {}) and type(plain) not in (int, float):
        return text
    if secret:
        return redaction.MASK
    if public_settings.is_command(place):
        return redaction.command(text)
    if public_settings.is_public(place):
        return redaction.masked(text)
    return text if redaction.is_plain(plain) else redaction.MASK


def _is_named_secret(section: Section) -> bool:
    labels = [entry.value.plain for entry in section.entries if str(entry.key).lower() in _LABELS]
    return any(isinstance(label, str) and redaction.names_secret(label) for label in labels)


def _expiry(data: bytes, name: str, now: datetime) -> str:
    try:
        found = pems.parse(data, name)
    except Invalid:
        return f"{len(data)} bytes"
    if not found.certificates:
        return "a private key"
    until = found.certificates[0].not_valid_after_utc
    if until < now:
        return f"expired on {until:%Y-%m-%d}"
    return f"valid until {until:%Y-%m-%d}, expires in {(until - now).days} days"
