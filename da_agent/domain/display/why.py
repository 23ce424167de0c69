"""Why a node runs what it runs: one paragraph for an admin at night."""

from collections.abc import Collection, Iterator
from datetime import datetime

from da_agent.domain import texts, units
from da_agent.domain.display import rollout_text
from da_agent.domain.node.reports import SILENT, NodeStatus, Phase
from da_agent.domain.rollout.rollouts import Rollout, Slot, State
from da_agent.domain.units import span

LOG_LINES = 5
"""How many lines of a log fit into the paragraph; `status` shows all that are kept."""


def why(
    node: str,
    seen: NodeStatus | None,
    head: int | None,
    rollout: Rollout | None,
    live: Collection[str],
    *,
    now: datetime,
) -> str:
    """The paragraph. `head` is the newest release, `rollout` its record; `live` are the nodes that have reported
    lately."""
    parts = [*_runs(node, seen, now)]
    if head is None:
        return " ".join([*parts, "There is no release yet."])
    if rollout is None:
        return " ".join([*parts, f"Release {head} is the newest one, and no node has begun it."])
    parts += [*_rollout(rollout, live, now), *_failures(node, seen, rollout), *_next(node, seen, rollout, now)]
    return " ".join(parts)


def _runs(node: str, seen: NodeStatus | None, now: datetime) -> Iterator[str]:
    """What the node reports of itself."""
    if seen is None:
        yield f"{node} has never reported, or its report is damaged."
        return
    report = seen.report
    runs = "no release" if report.release is None else f"release {report.release}"
    age = span(now - seen.at)
    if seen.has_left:
        yield f"{node} ran {runs} when it was told to stop, and left {age} ago."
        return
    if seen.silent(now, SILENT):
        yield f"{node} ran {runs} when it last reported, and has been silent for {age}."
        return
    yield f"{node} runs {runs} (it reported {age} ago)."
    if report.target is not None and report.target != report.release:
        yield f"It is moving to release {report.target} ({report.phase.value})."
    elif report.phase.value != "serving":
        yield f"It is {report.phase.value}."
    if report.activity:
        yield f"In progress: {texts.one_line(report.activity)}."
    if report.waiting:
        yield f"Waiting: {texts.one_line(report.waiting)}."
    # A failure is told together with its release.
    if report.problem and report.problem not in map(str, report.rejected):
        yield f"Problem: {texts.one_line(report.problem)}."


def _rollout(rollout: Rollout, live: Collection[str], now: datetime) -> Iterator[str]:
    """What holds for all nodes."""
    if rollout.state is State.QUARANTINED:
        sentence = rollout_text.quarantine(rollout)
        yield f"{sentence[0].upper()}{sentence[1:]}."
    else:
        yield f"Release {rollout.release} is {rollout.state.value}: {rollout_text.updated(rollout, live)}."
    for slot in rollout_text.current(rollout, now=now):
        yield f"{slot.node} holds a slot for release {slot.release} until {units.time(slot.until)}."
    if rollout.paused is not None:
        yield f"The cluster is paused {rollout_text.said(rollout.paused)}."
    if rollout.retries:
        yield f"Release {rollout.release} was retried {rollout_text.said(rollout.retries[-1])}."


def _failures(node: str, seen: NodeStatus | None, rollout: Rollout) -> Iterator[str]:
    """The failures of this node, then those of others; a quarantine has told them all already."""
    here, told = rollout.failure(node), rollout.state is State.QUARANTINED
    if here is not None and not told:
        yield f"Release {rollout.release} failed here {units.time(here.at)}: {texts.one_line(here.reason)}."
    elif here is None and seen is not None:
        for failure in seen.report.rejected:
            if failure.release == rollout.release:
                yield (
                    f"Release {failure.release} failed here {units.time(failure.at)}: {texts.one_line(failure.reason)}."
                )
    for note in rollout.unhealthy:
        if note.by == node:
            yield f"The node has been unhealthy since {units.time(note.at)}: {texts.one_line(note.reason)}."
    others = [failure for failure in rollout.failures if failure.node != node]
    if others and not told:
        yield f"Release {rollout.release} failed on {'; '.join(rollout_text.failures(others))}."
    logged = rollout_text.last_log([here] if here is not None and here.log else rollout.failures)
    if logged is not None:
        yield f"The log of {logged.node} ends with: {' | '.join(rollout_text.masked(logged.log)[-LOG_LINES:])}."


def _next(node: str, seen: NodeStatus | None, rollout: Rollout, now: datetime) -> Iterator[str]:
    """What happens without an admin, or what the admin can do."""
    number = rollout.release
    if seen is not None and seen.has_left:
        yield f"It updates to release {number} when it comes back; da-agent forget {node} removes it for good."
    elif seen is None or seen.silent(now, SILENT):
        yield f"Check this machine: the others go on without it. It updates to release {number} when it comes back."
    elif rollout.state is State.QUARANTINED:
        yield (
            f"The nodes serve the last stable release, or revert to it by themselves. da-agent retry {number} --reason"
            " TEXT lets them try this release again; a new push replaces it."
        )
    elif node in rollout.updated and seen.report.release == number:
        yield "It serves the newest release."
    elif (
        slot := next((slot for slot in rollout_text.current(rollout, now=now) if slot.node == node), None)
    ) is not None:
        yield from _while_updating(slot, rollout, seen.report.phase)
    elif rollout.paused is not None:
        yield "It updates after da-agent resume."
    elif rollout.failure(node) is not None or any(each.release == number for each in seen.report.rejected):
        yield (
            "It tries again by itself every 5 minutes."
            if rollout.state is State.STABLE
            else "It tries again when the release is stable on other nodes; a push or a rollback replaces the release."
        )
    elif any(slot.node != node for slot in rollout_text.current(rollout, now=now)):
        yield "It updates by itself when a slot is free."
    else:
        yield "It updates by itself within a poll interval."


def _while_updating(slot: Slot, rollout: Rollout, phase: Phase) -> Iterator[str]:
    """What a node with a slot does next: a pause stops it only when it serves and has not switched yet."""
    if rollout.paused is None:
        yield "It holds a slot and updates by itself."
    elif slot.joining:
        yield "It serves no requests yet, and updates by itself in spite of the pause."
    elif phase in (Phase.SWITCHING, Phase.PROBATION):
        yield "It is switching, and finishes in spite of the pause."
    else:
        yield "It holds a slot and has not switched: it gives the slot back, and updates after da-agent resume."
