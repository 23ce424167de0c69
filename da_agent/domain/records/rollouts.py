"""The shape of a rollout: .agent/rollouts/NUMBER.json in the store."""

from typing import Literal

from da_agent.domain.records import slots, strategies
from da_agent.domain.records.shapes import Count, Fields, Name, NodeName, Number, Shape, Text, Time
from da_agent.domain.records.slots import CommandShape, FailureShape, SlotShape, UnhealthyShape
from da_agent.domain.records.strategies import StrategyShape
from da_agent.domain.rollout.rollouts import Note, Past, Rollout, State

StateWord = Literal["open", "stable", "quarantined"]

_WORDS: dict[State, StateWord] = {State.OPEN: "open", State.STABLE: "stable", State.QUARANTINED: "quarantined"}
_STATES = {word: state for state, word in _WORDS.items()}


class NoteShape(Fields, frozen=True):
    by: Text
    at: Time
    reason: Text


class EarlierShape(Fields, frozen=True):
    """Of the releases before this one: the newest that is stable, the newest that a node has served, the newest that is
    not bad, and the bad ones after the stable one."""

    stable: Number | None
    served: Number | None
    usable: Number | None
    quarantined: list[Number]


class RolloutShape(Fields, frozen=True):
    """`generation` counts the changes; `nonce` is random for each."""

    format: Literal[1]
    release: Number
    generation: Count
    nonce: Name
    state: StateWord
    verdict: NoteShape | None
    closed: bool
    opened_at: Time
    changed_at: Time
    strategy: StrategyShape
    skip_canary: bool
    slots: list[SlotShape]
    updated: list[NodeName]
    failures: list[FailureShape]
    unhealthy: list[UnhealthyShape]
    release_command: CommandShape | None
    paused: NoteShape | None
    resumed: NoteShape | None
    retries: list[NoteShape]
    earlier: EarlierShape | None


def to_wire(rollout: Rollout) -> RolloutShape:
    return RolloutShape(
        format=1,
        release=rollout.release,
        generation=rollout.generation,
        nonce=rollout.nonce,
        state=_WORDS[rollout.state],
        verdict=_maybe_note_to_wire(rollout.verdict),
        closed=rollout.closed,
        opened_at=rollout.opened_at,
        changed_at=rollout.changed_at,
        strategy=strategies.to_wire(rollout.strategy),
        skip_canary=rollout.skip_canary,
        slots=[slots.slot_to_wire(slot) for slot in rollout.slots],
        updated=list(rollout.updated),
        failures=[slots.failure_to_wire(failure) for failure in rollout.failures],
        unhealthy=[slots.unhealthy_to_wire(note) for note in rollout.unhealthy],
        release_command=slots.command_to_wire(rollout.release_command),
        paused=_maybe_note_to_wire(rollout.paused),
        resumed=_maybe_note_to_wire(rollout.resumed),
        retries=[_note_to_wire(note) for note in rollout.retries],
        earlier=_earlier_to_wire(rollout.past),
    )


def from_wire(shape: RolloutShape) -> Rollout:
    return Rollout(
        release=shape.release,
        strategy=strategies.from_wire(shape.strategy),
        opened_at=shape.opened_at,
        changed_at=shape.changed_at,
        state=_STATES[shape.state],
        closed=shape.closed,
        skip_canary=shape.skip_canary,
        slots=tuple(slots.slot_from_wire(slot) for slot in shape.slots),
        updated=tuple(shape.updated),
        failures=tuple(slots.failure_from_wire(failure) for failure in shape.failures),
        unhealthy=tuple(slots.unhealthy_from_wire(node) for node in shape.unhealthy),
        release_command=slots.command_from_wire(shape.release_command),
        paused=_maybe_note_from_wire(shape.paused),
        resumed=_maybe_note_from_wire(shape.resumed),
        verdict=_maybe_note_from_wire(shape.verdict),
        retries=tuple(_note_from_wire(note) for note in shape.retries),
        past=_earlier_from_wire(shape.earlier),
        generation=shape.generation,
        nonce=shape.nonce,
    )


def _note_to_wire(note: Note) -> NoteShape:
    return NoteShape(by=note.by, at=note.at, reason=note.reason)


def _note_from_wire(shape: NoteShape) -> Note:
    return Note(by=shape.by, at=shape.at, reason=shape.reason)


def _maybe_note_to_wire(note: Note | None) -> NoteShape | None:
    return None if note is None else _note_to_wire(note)


def _maybe_note_from_wire(shape: NoteShape | None) -> Note | None:
    return None if shape is None else _note_from_wire(shape)


def _earlier_to_wire(past: Past | None) -> EarlierShape | None:
    if past is None:
        return None
    return EarlierShape(stable=past.stable, served=past.served, usable=past.fit, quarantined=list(past.bad))


def _earlier_from_wire(shape: EarlierShape | None) -> Past | None:
    if shape is None:
        return None
    return Past(stable=shape.stable, served=shape.served, fit=shape.usable, bad=tuple(shape.quarantined))


ROLLOUT = Shape("rollout", Rollout, RolloutShape, to_wire, from_wire)
