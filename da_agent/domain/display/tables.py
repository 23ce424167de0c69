"""A rollout as a table of nodes, for an admin who watches it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from da_agent.domain import texts, units
from da_agent.domain.display import rollout_text
from da_agent.domain.node.reports import SILENT, NodeStatus
from da_agent.domain.rollout.rollouts import Rollout, State


@dataclass(frozen=True, slots=True)
class Row:
    """One node: the release it serves, its phase and since when, and what it waits for or what is wrong."""

    node: str
    release: str
    phase: str
    since: datetime
    note: str

    @property
    def line(self) -> str:
        """The text that is new when the row has changed; it leaves the duration out."""
        return f"{self.node}: release {self.release}, {self.phase}{': ' if self.note else ''}{self.note}"


@dataclass(frozen=True, slots=True)
class Table:
    """The table at one moment. `header` is one line about the whole rollout; `verdict` is a sentence once there is a
    verdict."""

    at: datetime
    release: int
    state: State
    header: str
    rows: tuple[Row, ...]
    verdict: str | None = None

    def age(self, row: Row) -> str:
        """How long the node has been in its phase."""
        return units.span(self.at - row.since)


def table(
    release: int,
    seen: Collection[NodeStatus],
    rollout: Rollout | None,
    live: Collection[str],
    before: Table | None,
    *,
    now: datetime,
) -> Table:
    """The table now. `before` is the last table: an unchanged row keeps its `since`."""
    known = {row.node: row for row in before.rows} if before is not None else {}
    rows = (_row(each, rollout, known, now) for each in sorted(seen, key=lambda each: each.report.node))
    state = State.OPEN if rollout is None else rollout.state
    return Table(now, release, state, _header(release, rollout, live, now), tuple(rows), _verdict(rollout))


def unanswered(before: Table, reason: str) -> Table:
    """The last known table, with the reason why it may be out of date."""
    return replace(before, header=f"Release {before.release}: {texts.one_line(reason)}", verdict=None)


def changes(before: Table | None, after: Table) -> list[str]:
    """One line for the rollout and for each node that changed."""
    had = {before.header, *(row.line for row in before.rows)} if before is not None else set()
    return [line for line in (after.header, *(row.line for row in after.rows)) if line not in had]


def _row(seen: NodeStatus, rollout: Rollout | None, known: Mapping[str, Row], now: datetime) -> Row:
    report = seen.report
    silent = seen.silent(now, SILENT)
    phase = "silent" if silent else report.phase.value
    slot = rollout.slot(report.node) if rollout is not None else None
    held = slot is not None and slot.until > now
    if held and not silent:
        phase = f"{phase}, has a slot"
    failure = rollout.failure(report.node) if rollout is not None else None
    failed = f"failed: {failure.reason}" if failure is not None else None
    note = texts.one_line(failed or report.problem or report.waiting or report.activity or "")
    since = slot.since if slot is not None and held else seen.at
    row = Row(report.node, str(report.release or "none"), phase, since, note)
    last = known.get(report.node)
    same = last is not None and (last.release, last.phase) == (row.release, row.phase)
    return Row(row.node, row.release, row.phase, last.since if last is not None and same else since, note)


def _header(release: int, rollout: Rollout | None, live: Collection[str], now: datetime) -> str:
    if release == 0:
        return "There is no release yet"
    if rollout is None:
        return f"Release {release}: no node has begun it"
    free = rollout_text.places(rollout, live, now=now)
    slots = f", {free} free" if rollout.state is State.OPEN else ""
    progress = rollout_text.progress(rollout, live, now=now)
    return f"Release {release}: {rollout.state.value}, opened {units.time(rollout.opened_at)}, {progress}{slots}"


def _verdict(rollout: Rollout | None) -> str | None:
    if rollout is None or rollout.state is State.OPEN:
        return None
    if rollout.state is State.QUARANTINED:
        return rollout_text.quarantine(rollout)
    return f"release {rollout.release} is stable: {', '.join(sorted(rollout.updated))}"
