"""The rollout of a release: which nodes update, which are updated, what failed, and the verdict."""

from collections.abc import Collection
from datetime import datetime

from msgspec import Struct

from da_agent.domain import texts, units
from da_agent.domain.config import redaction
from da_agent.domain.config.strategies import Strategy
from da_agent.domain.display import rollout_text
from da_agent.domain.release.releases import CREATE_TABLES
from da_agent.domain.rollout.rollouts import NodeFailure, ReleaseCommandRun, Rollout, Slot, State
from da_agent.views import notes
from da_agent.views.notes import NoteView


class StrategyView(Struct, frozen=True, kw_only=True):
    """`max_unavailable` is a number of nodes, as in `2`, or a share of them, as in `25%`. Of each release command only
    the program is shown."""

    max_unavailable: str
    canary: int
    max_failures: int
    slot_timeout_seconds: float
    release_command: tuple[str, ...]


class SlotView(Struct, frozen=True, kw_only=True):
    """`joining`: the node does not serve yet, so it takes no other node's place."""

    node: str
    release: int
    reason: str
    since: datetime
    until: datetime
    joining: bool


class FailureView(Struct, frozen=True, kw_only=True):
    """`lost`: the node did not report back before its slot ended. Secrets in `log` are masked."""

    node: str
    reason: str
    at: datetime
    lost: bool
    log: tuple[str, ...]


class CommandRunView(Struct, frozen=True, kw_only=True):
    """The run of the release command. Secrets in `output` are masked."""

    node: str
    until: datetime
    done: bool
    output: tuple[str, ...]


class RolloutView(Struct, frozen=True, kw_only=True):
    """`slots` are those that have not ended; `updated` may name nodes that are not alive any more."""

    release: int
    state: str
    opened_at: datetime
    changed_at: datetime
    closed: bool
    skip_canary: bool
    strategy: StrategyView
    updated: tuple[str, ...]
    slots: tuple[SlotView, ...]
    failures: tuple[FailureView, ...]
    unhealthy: tuple[NoteView, ...]
    release_command: CommandRunView | None
    paused: NoteView | None
    resumed: NoteView | None
    retries: tuple[NoteView, ...]
    verdict: NoteView | None


def of(rollout: Rollout, *, now: datetime) -> RolloutView:
    return RolloutView(
        release=rollout.release,
        state=rollout.state.value,
        opened_at=rollout.opened_at,
        changed_at=rollout.changed_at,
        closed=rollout.closed,
        skip_canary=rollout.skip_canary,
        strategy=_strategy(rollout.strategy),
        updated=rollout.updated,
        slots=tuple(map(_slot, rollout_text.current(rollout, now=now))),
        failures=tuple(map(_failure, rollout.failures)),
        unhealthy=tuple(map(notes.of, rollout.unhealthy)),
        release_command=None if rollout.release_command is None else _run(rollout.release_command),
        paused=notes.maybe(rollout.paused),
        resumed=notes.maybe(rollout.resumed),
        retries=tuple(map(notes.of, rollout.retries)),
        verdict=notes.maybe(rollout.verdict),
    )


def _strategy(strategy: Strategy) -> StrategyView:
    return StrategyView(
        max_unavailable=str(strategy.max_unavailable),
        canary=strategy.canary,
        max_failures=strategy.max_failures,
        slot_timeout_seconds=strategy.slot_timeout.total_seconds(),
        # docassemble's own command has no secret in it.
        release_command=tuple(
            each if each == CREATE_TABLES else redaction.command(each) for each in strategy.release_command
        ),
    )


def _slot(slot: Slot) -> SlotView:
    return SlotView(
        node=slot.node,
        release=slot.release,
        reason=slot.reason,
        since=slot.since,
        until=slot.until,
        joining=slot.joining,
    )


def _failure(failure: NodeFailure) -> FailureView:
    return FailureView(
        node=failure.node,
        reason=failure.reason,
        at=failure.at,
        lost=failure.lost,
        log=rollout_text.masked(failure.log),
    )


def _run(run: ReleaseCommandRun) -> CommandRunView:
    return CommandRunView(node=run.node, until=run.until, done=run.done, output=rollout_text.masked(run.output))


def lines(shape: RolloutView, live: Collection[str]) -> list[str]:
    """Everything that an admin wants to know about the rollout, one fact a line. `live` are the nodes that count in
    it."""
    found = [f"Rollout of release {shape.release}: {shape.state}, {rollout_text.updated(shape, live)}"]
    found += [
        f"  {slot.node} has a slot for release {slot.release} until {units.time(slot.until)}" for slot in shape.slots
    ]
    found += [f"  failed on {failure}" for failure in rollout_text.failures(shape.failures)]
    logged = rollout_text.last_log(shape.failures)
    if logged is not None:
        found += [f"  the end of the log of {logged.node}:", *(f"    {line}" for line in logged.log)]
    found += [
        f"  {note.by} has been unhealthy since {units.time(note.at)}: {texts.one_line(note.reason)}"
        for note in shape.unhealthy
    ]
    if shape.paused is not None:
        found.append(f"  paused {rollout_text.said(shape.paused)}; da-agent resume ends the pause")
    found += [f"  retried {rollout_text.said(note)}" for note in shape.retries]
    if shape.verdict is not None:
        quarantined = shape.state == State.QUARANTINED.value
        reason = "" if quarantined else f": {texts.one_line(shape.verdict.reason)}"
        found.append(f"  {shape.state} {units.time(shape.verdict.at)}{reason}")
    return found
