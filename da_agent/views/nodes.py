"""Nodes: the one where the command runs, and those that report to the store."""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from da_agent.domain import units
from da_agent.domain.node.inbox_leader import Unable
from da_agent.domain.node.node_states import Probation
from da_agent.domain.node.reports import SILENT, NodeStatus
from da_agent.domain.node.twins import Twins
from da_agent.views import rejections
from da_agent.views.outputs import Output
from da_agent.views.rejections import LoggedRejectionView, RejectionView
from da_agent.workflows.admin.statuses import Here


class ProbationView(Struct, frozen=True, kw_only=True):
    """`before` is the release that the node goes back to when `release` fails."""

    release: int
    before: int | None
    until: datetime
    attempt: int


class ThisNodeView(Struct, frozen=True, kw_only=True):
    """This node, from its own disk. `last_contact` is when the store last answered it."""

    node: str
    root: str
    release: int | None
    last_contact: datetime | None
    probation: ProbationView | None
    rejected: tuple[LoggedRejectionView, ...]


class UnableView(Struct, frozen=True, kw_only=True):
    at: datetime
    reason: str


class NodeView(Struct, frozen=True, kw_only=True):
    """The last report of a node. `reported_at` is when the store received it; `unable` is why the node could not
    publish the inbox.
    """

    node: str
    host: str
    address: str
    release: int | None
    target: int | None
    phase: str
    silent: bool
    reported_at: datetime
    started_at: datetime
    problem: str | None
    waiting: str | None
    activity: str | None
    rejected: tuple[RejectionView, ...]
    unable: UnableView | None
    notify: str | None
    agent: str
    python: str


class TwinsView(Struct, frozen=True, kw_only=True):
    """Two machines that report as `node`; `host` and `address` are those of the machine that has the name."""

    node: str
    host: str
    address: str
    other_host: str
    other_address: str


class WhyView(Output, frozen=True, kw_only=True):
    node: str
    why: str


def this(here: Here) -> ThisNodeView:
    state = here.node_state
    return ThisNodeView(
        node=here.node,
        root=here.root,
        release=here.release,
        last_contact=here.heard,
        probation=None if state.probation is None else _probation(state.probation),
        rejected=rejections.with_logs(state.rejected),
    )


def _probation(probation: Probation) -> ProbationView:
    return ProbationView(
        release=probation.release, before=probation.before, until=probation.until, attempt=probation.attempt
    )


def of(nodes: Iterable[NodeStatus], *, now: datetime) -> tuple[NodeView, ...]:
    """The nodes, sorted by name."""
    return tuple(_node(each, now) for each in sorted(nodes, key=lambda each: each.report.node))


def _node(seen: NodeStatus, now: datetime) -> NodeView:
    report = seen.report
    return NodeView(
        node=report.node,
        host=report.host,
        address=report.address,
        release=report.release,
        target=report.target,
        phase=report.phase.value,
        silent=seen.silent(now, SILENT) and not seen.has_left,
        reported_at=seen.at,
        started_at=report.started_at,
        problem=report.problem,
        waiting=report.waiting,
        activity=report.activity,
        rejected=rejections.of(report.rejected),
        unable=None if report.unable is None else _unable(report.unable),
        notify=None if report.contact is None else report.contact.address,
        agent=report.agent,
        python=report.python,
    )


def _unable(unable: Unable) -> UnableView:
    return UnableView(at=unable.at, reason=unable.reason)


def twins(pairs: Iterable[Twins]) -> tuple[TwinsView, ...]:
    return tuple(
        TwinsView(
            node=each.node,
            host=each.host,
            address=each.address,
            other_host=each.other_host,
            other_address=each.other_address,
        )
        for each in pairs
    )


def why(node: str, text: str) -> WhyView:
    return WhyView(node=node, why=text)


def why_lines(shape: WhyView) -> list[str]:
    return [shape.why]


def this_lines(shape: ThisNodeView) -> list[str]:
    heard = units.time(shape.last_contact) if shape.last_contact else "never"
    lines = [
        f"This node: {shape.node}, release {shape.release or 'none'}, below {shape.root}",
        f"  last answer of the store: {heard}",
    ]
    if shape.probation is not None:
        lines.append(f"  release {shape.probation.release} is on probation")
    return lines + [f"  {rejections.line(each)}" for each in shape.rejected[-3:]]


def lines(shapes: tuple[NodeView, ...], *, now: datetime) -> list[str]:
    left = sum(each.phase == "left" for each in shapes)
    head = f"Nodes: {len(shapes) - left}" + (f", and {left} left" if left else "")
    return [head, *(_line(each, now) for each in shapes)]


def _line(shape: NodeView, now: datetime) -> str:
    age = max(0, round((now - shape.reported_at).total_seconds()))
    state = f"silent for {age} s" if shape.silent else f"{shape.phase}, {age} s ago"
    problem = f": {shape.problem}" if shape.problem else ""
    if shape.activity:
        state += f" ({shape.activity})"
    return f"  {shape.node:<20} release {shape.release or 'none':<6} {shape.address:<22} {state}{problem}"


def twins_line(shape: TwinsView) -> str:
    return str(Twins(shape.node, shape.host, shape.address, shape.other_host, shape.other_address))
