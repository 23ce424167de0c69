"""What a release holds, and what differs between two, in words that anybody may read: secrets are masked."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from da_agent.domain import documents, pems
from da_agent.domain.documents import Section, Series, Value
from da_agent.domain.releases import Wheel
from da_agent.errors import Refused

MASK = "********"
_SECRET = re.compile(
    r"(secret|passw|passphrase|pwd|token|credential|private|salt|(api|access|account|client|encryption|server|session)"
    r"[ _-]?(key|id)|\bkey\b|keys?$|connection[ _-]?string|dsn|\b(url|uri)s?$)",
    re.IGNORECASE,
)
"""Parts of keys whose values are masked. Rather one too many: a key named `url` may have a password in it."""
_SHOWN = re.compile(r"^(pip index url|pip extra index urls|endpoint url|url root|external hostname)$", re.IGNORECASE)
_PASSWORD_IN_URL = re.compile(r"(?<=://)[^/@\s]+@")
_LONGEST = 100


@dataclass(frozen=True, slots=True)
class Change:
    """`before` is None for what was added, `after` for what was removed."""

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
    """Every value of a configuration by its path (`db.host`, `dispatch[2]`), with secrets masked."""
    return {path: _shown(path, value) for path, value in _leaves(config)}


def configuration(before: bytes, after: bytes) -> tuple[Change, ...]:
    """Changed keys, sorted; a changed secret is named, and both of its values are masked."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    return tuple(
        Change(
            path,
            _shown(path, old[path]) if path in old else None,
            _shown(path, new[path]) if path in new else None,
        )
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    )


def expiries(certificates: Mapping[str, bytes], now: datetime) -> dict[str, str]:
    """By file name: until when its first certificate is valid, or what else it is."""
    return {name: _expiry(data, name, now) for name, data in sorted(certificates.items())}


def files(before: Mapping[str, bytes], after: Mapping[str, bytes], now: datetime) -> tuple[Change, ...]:
    """Certificate files that were added, removed or changed."""
    old, new = expiries(before, now), expiries(after, now)
    return tuple(
        Change(name, old.get(name), new.get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    )


def packages(before: tuple[Wheel, ...], after: tuple[Wheel, ...]) -> tuple[Change, ...]:
    """Distributions that were added, removed or changed; one that was made anew keeps its version."""
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


def _leaves(config: bytes) -> Iterator[tuple[str, str]]:
    document = documents.parse(config, "config.yml")
    return _below("", document.root)


def _below(path: str, value: Value) -> Iterator[tuple[str, str]]:
    if isinstance(value, Section) and value.entries:
        for entry in value.entries:
            yield from _below(documents.below(path, entry.key), entry.value)
    elif isinstance(value, Series) and value.items:
        for number, item in enumerate(value.items):
            yield from _below(f"{path}[{number}]", item)
    else:
        yield path, "null" if value.plain is None else str(value.plain)


def _shown(path: str, text: str) -> str:
    if _is_secret(path) and text not in ("null", "[]", "{}", "True", "False"):
        return MASK
    text = _PASSWORD_IN_URL.sub(f"{MASK}@", " ".join(text.split()))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _is_secret(path: str) -> bool:
    parts = [re.sub(r"\[\d+\]", "", part) for part in path.split(".")]
    return any(_SECRET.search(part) and not _SHOWN.match(part) for part in parts)


def _expiry(data: bytes, name: str, now: datetime) -> str:
    try:
        found = pems.parse(data, name)
    except Refused:
        return f"{len(data)} bytes"
    if not found.certificates:
        return "a private key"
    until = found.certificates[0].not_valid_after_utc
    return f"valid until {until:%Y-%m-%d}, {(until - now).days} days left"
