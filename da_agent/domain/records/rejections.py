"""The shape of a release that a node has rejected, as its report and its node state contain it."""

from da_agent.domain.node.node_states import Rejection
from da_agent.domain.records.shapes import Count, Fields, Number, Text, Time


class RejectionShape(Fields, frozen=True):
    """`lasting` is false when the store or the node was the cause; `retries` is the number of retries of the release
    then."""

    release: Number
    reason: Text
    at: Time
    lasting: bool
    retries: Count
    log: list[Text]


def to_wire(failure: Rejection) -> RejectionShape:
    return RejectionShape(
        release=failure.release,
        reason=failure.reason,
        at=failure.at,
        lasting=failure.lasting,
        retries=failure.retries,
        log=list(failure.log),
    )


def from_wire(shape: RejectionShape) -> Rejection:
    return Rejection(
        release=shape.release,
        reason=shape.reason,
        at=shape.at,
        lasting=shape.lasting,
        retries=shape.retries,
        log=tuple(shape.log),
    )
