"""The progress of a rollout as text."""

from collections.abc import Collection, Iterable
from datetime import datetime

from da_agent.domain import units
from da_agent.domain.config import redaction
from da_agent.domain.node.reports import Report
from da_agent.domain.rollout import slots
from da_agent.domain.rollout.rollouts import NodeFailure, Note, Rollout, Slot, State


def progress(rollout: Rollout | None, live: Collection[str], *, now: datetime) -> str:
    """One clause: how many nodes are updated, and which hold the slots."""
    if rollout is None:
        return "no node has begun it"
    return f"{updated(rollout, live)}, {holders(rollout, now=now)}{_paused(rollout)}"


def updated(rollout: Rollout, live: Collection[str]) -> str:
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


def lines(rollout: Rollout, live: Collection[str], *, now: datetime) -> list[str]:
    """Everything that an admin wants to know about the rollout, one fact a line."""
    found = [f"Rollout of release {rollout.release}: {rollout.state.value}, {updated(rollout, live)}"]
    found += [
        f"  {slot.node} has a slot for release {slot.release} until {units.time(slot.until)}"
        for slot in current(rollout, now=now)
    ]
    found += [f"  failed on {failure}" for failure in failures(rollout.failures)]
    logged = last_log(rollout.failures)
    if logged is not None:
        found += [f"  the end of the log of {logged.node}:", *(f"    {line}" for line in log(logged))]
    found += [
        f"  {note.by} is unhealthy since {units.time(note.at)}: {one_line(note.reason)}" for note in rollout.unhealthy
    ]
    if rollout.paused is not None:
        found.append(f"  paused {said(rollout.paused)}; da-agent resume lets it go on")
    found += [f"  retried {said(note)}" for note in rollout.retries]
    if rollout.verdict is not None:
        reason = "" if rollout.state is State.QUARANTINED else f": {one_line(rollout.verdict.reason)}"
        found.append(f"  {rollout.state.value} {units.time(rollout.verdict.at)}{reason}")
    return found


def quarantine(rollout: Rollout) -> str:
    """Why no node goes to the release, in one sentence."""
    assert rollout.state is State.QUARANTINED
    reasons = failures(rollout.failures)
    return f"release {rollout.release} is quarantined{': ' if reasons else ''}{'; '.join(reasons)}"


def stuck(rollout: Rollout) -> str:
    """Why there is no verdict although no node can go on, in one sentence."""
    reasons = "; ".join(_together((note.by, note.reason) for note in rollout.unhealthy))
    return (
        f"release {rollout.release} is neither stable nor quarantined: every node is unhealthy: {reasons}; they"
        f" go on by themselves once that is mended, and da-agent rollback leaves the release"
    )


def failures(failures: Collection[NodeFailure]) -> list[str]:
    """`web-1, web-2: it answers 500`: a reason that many nodes share is told once."""
    return _together((failure.node, failure.reason) for failure in failures)


def last_log(failures: Collection[NodeFailure]) -> NodeFailure | None:
    """The newest failure that has a log: the logs of other nodes usually say the same. None without a log."""
    return max((failure for failure in failures if failure.log), key=lambda failure: failure.at, default=None)


def log(failure: NodeFailure) -> list[str]:
    """The lines of its log with secrets masked: programs print what they cannot connect to."""
    return [redaction.masked(one_line(line)) for line in failure.log]


def _together(found: Iterable[tuple[str, str]]) -> list[str]:
    nodes: dict[str, list[str]] = {}
    for node, reason in found:
        nodes.setdefault(one_line(reason), []).append(node)
    return [f"{', '.join(sorted(names))}: {reason}" for reason, names in nodes.items()]


def said(note: Note) -> str:
    return f"by {note.by} {units.time(note.at)}: {one_line(note.reason)}"


def behind(report: Report) -> str:
    """What a node that is not updated waits for or does."""
    return report.problem or report.waiting or report.activity or report.phase.value


def one_line(text: str) -> str:
    return " ".join(text.split())


def _paused(rollout: Rollout) -> str:
    return f", paused {said(rollout.paused)}" if rollout.paused is not None else ""


def places(rollout: Rollout, live: Collection[str], *, now: datetime) -> int:
    """How many more nodes may take a slot now."""
    if rollout.closed or rollout.paused is not None:
        return 0
    return slots.places(rollout, "", live, now=now)
