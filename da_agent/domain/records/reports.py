"""The shape of a report: .agent/nodes/NODE.json in the store."""

from typing import Literal

from da_agent.domain.node.inbox_leader import Unable
from da_agent.domain.node.notifications import Contact
from da_agent.domain.node.reports import Phase, Report
from da_agent.domain.records import rejections
from da_agent.domain.records.rejections import RejectionShape
from da_agent.domain.records.shapes import Fields, Name, NodeName, Number, Shape, Text, Time

PhaseWord = Literal[
    "starting", "staging", "rehearsing", "draining", "switching", "probation", "serving", "stopped", "left"
]

_WORDS: dict[Phase, PhaseWord] = {
    Phase.STARTING: "starting",
    Phase.STAGING: "staging",
    Phase.REHEARSING: "rehearsing",
    Phase.DRAINING: "draining",
    Phase.SWITCHING: "switching",
    Phase.PROBATION: "probation",
    Phase.SERVING: "serving",
    Phase.STOPPED: "stopped",
    Phase.LEFT: "left",
}
_PHASES = {word: phase for phase, word in _WORDS.items()}


class UnableShape(Fields, frozen=True):
    """An inbox that the node cannot publish, since when, and why."""

    fingerprint: Name
    at: Time
    reason: Text


class ContactShape(Fields, frozen=True):
    """The address at which the node takes notifications, and the proof that a holder of the cluster's key wrote it."""

    address: Name
    proof: Name


class ReportShape(Fields, frozen=True):
    """`agent` is the version of da_agent; `python` is the Python that wheels are made for.

    `activity` is the long-running step in progress. `waiting` is what keeps the node from its target. `contact` is
    where to notify the node. `identity` identifies the machine: a copy of its disk has another one.
    """

    format: Literal[1]
    node: NodeName
    host: Text
    address: Text
    contact: ContactShape | None
    agent: Name
    python: Text
    started_at: Time
    release: Number | None
    target: Number | None
    phase: PhaseWord
    activity: Text | None
    waiting: Text | None
    problem: Text | None
    rejected: list[RejectionShape]
    unable: UnableShape | None
    identity: Name


def to_wire(report: Report) -> ReportShape:
    return ReportShape(
        format=1,
        node=report.node,
        host=report.host,
        address=report.address,
        contact=None if report.contact is None else _contact_to_wire(report.contact),
        agent=report.agent,
        python=report.python,
        started_at=report.started_at,
        release=report.release,
        target=report.target,
        phase=_WORDS[report.phase],
        activity=report.activity,
        waiting=report.waiting,
        problem=report.problem,
        rejected=[rejections.to_wire(failure) for failure in report.rejected],
        unable=None if report.unable is None else _unable_to_wire(report.unable),
        identity=report.identity,
    )


def from_wire(shape: ReportShape) -> Report:
    return Report(
        node=shape.node,
        host=shape.host,
        address=shape.address,
        release=shape.release,
        target=shape.target,
        phase=_PHASES[shape.phase],
        problem=shape.problem,
        agent=shape.agent,
        python=shape.python,
        started_at=shape.started_at,
        rejected=tuple(rejections.from_wire(each) for each in shape.rejected),
        waiting=shape.waiting,
        activity=shape.activity,
        contact=None if shape.contact is None else _contact_from_wire(shape.contact),
        unable=None if shape.unable is None else _unable_from_wire(shape.unable),
        identity=shape.identity,
    )


def _contact_to_wire(contact: Contact) -> ContactShape:
    return ContactShape(address=contact.address, proof=contact.proof)


def _contact_from_wire(shape: ContactShape) -> Contact:
    return Contact(address=shape.address, proof=shape.proof)


def _unable_to_wire(unable: Unable) -> UnableShape:
    return UnableShape(fingerprint=unable.fingerprint, at=unable.at, reason=unable.reason)


def _unable_from_wire(shape: UnableShape) -> Unable:
    return Unable(fingerprint=shape.fingerprint, at=shape.at, reason=shape.reason)


REPORT = Shape("report", Report, ReportShape, to_wire, from_wire)
