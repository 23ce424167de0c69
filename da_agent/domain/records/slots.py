"""The shapes of what a rollout knows of single nodes: their slots and failures, and the run of the release command."""

from da_agent.domain.records.shapes import Fields, NodeName, Number, Text, Time
from da_agent.domain.rollout.rollouts import NodeFailure, Note, ReleaseCommandRun, Slot


class SlotShape(Fields, frozen=True):
    """`begun`: the node may switch in it. `joining`: the node serves no request yet."""

    node: NodeName
    release: Number
    reason: Text
    since: Time
    until: Time
    begun: bool
    joining: bool


class FailureShape(Fields, frozen=True):
    """`lost`: the node did not report back before its slot expired."""

    node: NodeName
    reason: Text
    at: Time
    log: list[Text]
    lost: bool


class UnhealthyShape(Fields, frozen=True):
    node: NodeName
    since: Time
    reason: Text


class CommandShape(Fields, frozen=True):
    """The run of the release command: its node, its deadline or its end, and the end of its output."""

    node: NodeName
    until: Time
    done: bool
    output: list[Text]


def slot_to_wire(slot: Slot) -> SlotShape:
    return SlotShape(
        node=slot.node,
        release=slot.release,
        reason=slot.reason,
        since=slot.since,
        until=slot.until,
        begun=slot.begun,
        joining=slot.joining,
    )


def slot_from_wire(shape: SlotShape) -> Slot:
    return Slot(
        node=shape.node,
        release=shape.release,
        reason=shape.reason,
        since=shape.since,
        until=shape.until,
        begun=shape.begun,
        joining=shape.joining,
    )


def failure_to_wire(failure: NodeFailure) -> FailureShape:
    return FailureShape(
        node=failure.node, reason=failure.reason, at=failure.at, log=list(failure.log), lost=failure.lost
    )


def failure_from_wire(shape: FailureShape) -> NodeFailure:
    return NodeFailure(node=shape.node, reason=shape.reason, at=shape.at, log=tuple(shape.log), lost=shape.lost)


def unhealthy_to_wire(note: Note) -> UnhealthyShape:
    return UnhealthyShape(node=note.by, since=note.at, reason=note.reason)


def unhealthy_from_wire(shape: UnhealthyShape) -> Note:
    return Note(by=shape.node, at=shape.since, reason=shape.reason)


def command_to_wire(release_command: ReleaseCommandRun | None) -> CommandShape | None:
    if release_command is None:
        return None
    return CommandShape(
        node=release_command.node,
        until=release_command.until,
        done=release_command.done,
        output=list(release_command.output),
    )


def command_from_wire(shape: CommandShape | None) -> ReleaseCommandRun | None:
    if shape is None:
        return None
    return ReleaseCommandRun(node=shape.node, until=shape.until, done=shape.done, output=tuple(shape.output))
