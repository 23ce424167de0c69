"""The shape of the node state, which a node keeps in agent/node-state.json below its root."""

from typing import Literal

from da_agent.domain.node.node_states import NodeState, Probation
from da_agent.domain.records import rejections
from da_agent.domain.records.rejections import RejectionShape
from da_agent.domain.records.shapes import Count, Fields, Number, Shape, Time


class ProbationShape(Fields, frozen=True):
    """`before` is the release to go back to; `retries` is the number of retries of `release` when its probation
    began."""

    release: Number
    before: Number | None
    until: Time
    attempt: Count
    retries: Count


class NodeStateShape(Fields, frozen=True):
    """`live` is the newest release that was ready here; `interrupted` is the one whose probation was cut off."""

    format: Literal[1]
    live: Number | None
    probation: ProbationShape | None
    interrupted: Number | None
    rejected: list[RejectionShape]


def to_wire(node_state: NodeState) -> NodeStateShape:
    return NodeStateShape(
        format=1,
        live=node_state.live,
        probation=None if node_state.probation is None else _probation_to_wire(node_state.probation),
        interrupted=node_state.interrupted,
        rejected=[rejections.to_wire(failure) for failure in node_state.rejected],
    )


def from_wire(shape: NodeStateShape) -> NodeState:
    return NodeState(
        live=shape.live,
        probation=None if shape.probation is None else _probation_from_wire(shape.probation),
        rejected=tuple(rejections.from_wire(each) for each in shape.rejected),
        interrupted=shape.interrupted,
    )


def _probation_to_wire(probation: Probation) -> ProbationShape:
    return ProbationShape(
        release=probation.release,
        before=probation.before,
        until=probation.until,
        attempt=probation.attempt,
        retries=probation.retries,
    )


def _probation_from_wire(shape: ProbationShape) -> Probation:
    return Probation(
        release=shape.release, before=shape.before, until=shape.until, attempt=shape.attempt, retries=shape.retries
    )


NODE_STATE = Shape("node state", NodeState, NodeStateShape, to_wire, from_wire)
