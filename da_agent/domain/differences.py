"""What a release holds, and what differs between two, in words that anybody may read: secrets are masked."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from da_agent.domain import documents, masks, pems
from da_agent.domain.documents import Section, Series, Value
from da_agent.domain.releases import Wheel
from da_agent.errors import Refused

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
    return {path: str(leaf) for path, leaf in _leaves(config).items()}


def configuration(before: bytes, after: bytes) -> tuple[Change, ...]:
    """Changed keys, sorted; a changed secret is named, and both of its values are masked."""
    old, new = _leaves(before), _leaves(after)
    return tuple(
        Change(path, str(old[path]) if path in old else None, str(new[path]) if path in new else None)
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
        Change(name, old.get(name), "the same, with other bytes" if old.get(name) == new.get(name) else new.get(name))
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


@dataclass(frozen=True, slots=True)
class _Leaf:
    text: str
    secret: bool

    def __str__(self) -> str:
        """What may be shown of it, on one line."""
        text = " ".join(masks.masked(self.text, secret=self.secret).split())
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _leaves(config: bytes) -> dict[str, _Leaf]:
    document = documents.parse(config, "config.yml")
    return dict(_below("", document.root, secret=False))


def _below(path: str, value: Value, *, secret: bool) -> Iterator[tuple[str, _Leaf]]:
    if isinstance(value, Section) and value.entries:
        # In a list of variables the name stands beside the value.
        labels = [str(entry.value.plain) for entry in value.entries if entry.key in ("name", "variable")]
        for entry in value.entries:
            names = [str(entry.key), *(labels if entry.key == "value" else ())]
            hidden = secret or masks.names_secret(names)
            yield from _below(documents.below(path, entry.key), entry.value, secret=hidden)
    elif isinstance(value, Series) and value.items:
        for number, item in enumerate(value.items):
            yield from _below(f"{path}[{number}]", item, secret=secret)
    else:
        yield path, _Leaf("null" if value.plain is None else str(value.plain), secret)


def _expiry(data: bytes, name: str, now: datetime) -> str:
    try:
        found = pems.parse(data, name)
    except Refused:
        return f"{len(data)} bytes"
    if not found.certificates:
        return "a private key"
    until = found.certificates[0].not_valid_after_utc
    if until < now:
        return f"expired on {until:%Y-%m-%d}"
    return f"valid until {until:%Y-%m-%d}, expires in {(until - now).days} days"
