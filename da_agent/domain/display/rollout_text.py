"""The progress of a rollout as text."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Protocol, TypeVar

from da_agent.domain import texts, units
from da_agent.domain.config import redaction
from da_agent.domain.node.reports import Report
from da_agent.domain.rollout import slots
from da_agent.domain.rollout.rollouts import Rollout, Slot, State


class Updated(Protocol):
    """A rollout, or its view."""

    @property
    def updated(self) -> tuple[str, ...]: ...


class Noted(Protocol):
    """A note, or its view."""

    @property
    def by(self) -> str: ...
    @property
    def at(self) -> datetime: ...
    @property
    def reason(self) -> str: ...


class Failed(Protocol):
    """The failure of a node, or its view."""

    @property
    def node(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def at(self) -> datetime: ...
    @property
    def log(self) -> tuple[str, ...]: ...


F = TypeVar("F", bound=Failed)


def progress(rollout: Rollout | None, live: Collection[str], *, now: datetime) -> str:
    """One clause: how many nodes are updated, and which hold the slots."""
    if rollout is None:
        return "no node has begun it"
    return f"{updated(rollout, live)}, {holders(rollout, now=now)}{_paused(rollout)}"


def updated(rollout: Updated, live: Collection[str]) -> str:
    """How many of the live nodes are updated; nodes that have died since do not count."""
    there = len(set(rollout.updated) & set(live))
    return f"{there} of {len(live)} nodes updated"


def holders(rollout: Rollout, *, now: datetime) -> str:
    """Which nodes are updating. Starting nodes are listed apart: they do not serve yet and take no other node's
    place."""
    held = current(rollout, now=now)
    updating = ", ".join(slot.node for slot in held if not slot.joining)
    starting = ", ".join(slot.node for slot in held if slot.joining)
    said = f"updating: {updating}" if updating else "no node is updating"
    return f"{said}, starting: {starting}" if starting else said


def current(rollout: Rollout, *, now: datetime) -> tuple[Slot, ...]:
    """Every slot that has not expired, sorted by node, with those of nodes that take no other node's place."""
    return tuple(sorted((slot for slot in rollout.slots if slot.until > now), key=lambda slot: slot.node))


def quarantine(rollout: Rollout) -> str:
    """Why no node goes to the release, in one sentence."""
    assert rollout.state is State.QUARANTINED
    reasons = failures(rollout.failures)
    return f"release {rollout.release} is quarantined{': ' if reasons else ''}{'; '.join(reasons)}"


def stuck(rollout: Rollout) -> str:
    """Why there is no verdict although no node can go on, in one sentence."""
    reasons = "; ".join(_together((note.by, note.reason) for note in rollout.unhealthy))
    return (
        f"release {rollout.release} is neither stable nor quarantined: every node is unhealthy: {reasons}; the"
        f" nodes retry every minute; da-agent rollback makes a release with older contents"
    )


def failures(failures: Iterable[Failed]) -> list[str]:
    """`web-1, web-2: it answers 500`: a reason that many nodes share is told once."""
    return _together((failure.node, failure.reason) for failure in failures)


def last_log(failures: Iterable[F]) -> F | None:
    """The newest failure that has a log: the logs of other nodes usually say the same. None without a log."""
    return max((failure for failure in failures if failure.log), key=lambda failure: failure.at, default=None)


def masked(log: Iterable[str]) -> tuple[str, ...]:
    """The lines of a log with secrets masked: programs print what they cannot connect to."""
    return tuple(redaction.masked(texts.one_line(line)) for line in log)


def _together(found: Iterable[tuple[str, str]]) -> list[str]:
    nodes: dict[str, list[str]] = {}
    for node, reason in found:
        nodes.setdefault(texts.one_line(reason), []).append(node)
    return [f"{', '.join(sorted(names))}: {reason}" for reason, names in nodes.items()]


def said(note: Noted) -> str:
    return f"by {note.by} {units.time(note.at)}: {texts.one_line(note.reason)}"


def behind(report: Report) -> str:
    """What a node that is not updated waits for or does."""
    return report.problem or report.waiting or report.activity or report.phase.value


def _paused(rollout: Rollout) -> str:
    return f", paused {said(rollout.paused)}" if rollout.paused is not None else ""


def places(rollout: Rollout, live: Collection[str], *, now: datetime) -> int:
    """How many more nodes may take a slot now."""
    if rollout.closed or rollout.paused is not None:
        return 0
    return slots.places(rollout, "", live, now=now)
