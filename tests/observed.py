"""Observations that differ from others in single facts."""

from dataclasses import fields, replace
from typing import Any

from da_agent.domain.node.observations import Observation

PARTS = ("releases", "web", "preparations", "slot_use", "evidence", "watch", "health")


def but(seen: Observation, **changes: Any) -> Observation:
    """The observation with these changes; each goes to the part that has a field of this name."""
    own = _of(seen, changes)
    parts = {part: getattr(seen, part) for part in PARTS if part not in own}
    known = {*own, *(name for part in parts.values() for name in _of(part, changes))}
    assert known == set(changes), set(changes) - known
    return replace(seen, **{name: replace(part, **_of(part, changes)) for name, part in parts.items()}, **own)


def _of(value: Any, changes: dict[str, Any]) -> dict[str, Any]:
    """Those of the `changes` that are fields of `value`."""
    return {field.name: changes[field.name] for field in fields(value) if field.name in changes}
