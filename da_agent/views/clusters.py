"""The status: this node, and the cluster as the store shows it."""

from datetime import datetime

from msgspec import Struct

from da_agent.domain import units
from da_agent.views import inboxes, nodes, releases, rollouts
from da_agent.views.inboxes import InboxView
from da_agent.views.nodes import NodeView, ThisNodeView, TwinsView
from da_agent.views.outputs import Output
from da_agent.views.releases import ReleaseView
from da_agent.views.rollouts import RolloutView
from da_agent.workflows.admin.statuses import Status, There


class ClusterView(Struct, frozen=True, kw_only=True):
    """The cluster at `at`, by the store's clock. `release` is the newest readable release. `live` are the
    nodes that count in the rollout of the newest release. `problems` has a sentence for each record that cannot be
    read."""

    at: datetime
    store: str
    release: ReleaseView | None
    inbox: InboxView
    rollout: RolloutView | None
    live: tuple[str, ...]
    nodes: tuple[NodeView, ...]
    twins: tuple[TwinsView, ...]
    problems: tuple[str, ...]


class StatusView(Output, frozen=True, kw_only=True):
    """When the store does not answer, `cluster` is None and `problem` says why. `this_node` is None on other
    machines."""

    this_node: ThisNodeView | None
    cluster: ClusterView | None
    problem: str | None


def of(status: Status) -> StatusView:
    return StatusView(
        this_node=None if status.here is None else nodes.this(status.here),
        cluster=None if status.there is None else _cluster(status.there),
        problem=status.unknown,
    )


def _cluster(there: There) -> ClusterView:
    return ClusterView(
        at=there.at,
        store=there.store,
        release=None if there.head is None else releases.of(there.head),
        inbox=inboxes.of(there.verdict, pending=there.pending),
        rollout=None if there.rollout is None else rollouts.of(there.rollout, now=there.at),
        live=there.live,
        nodes=nodes.of(there.nodes, now=there.at),
        twins=nodes.twins(there.twins),
        problems=there.problems,
    )


def lines(shape: StatusView) -> list[str]:
    here = [] if shape.this_node is None else nodes.this_lines(shape.this_node)
    if shape.cluster is None:
        return [*here, f"The state of the cluster is unknown: {shape.problem}"]
    return here + _cluster_lines(shape.cluster)


def _cluster_lines(shape: ClusterView) -> list[str]:
    return [
        f"Store: {shape.store}, asked at {units.time(shape.at)}",
        releases.line(shape.release),
        *releases.warnings(shape.release),
        *inboxes.lines(shape.inbox, shape.release),
        *([] if shape.rollout is None else rollouts.lines(shape.rollout, shape.live)),
        *nodes.lines(shape.nodes, now=shape.at),
        *(f"  {nodes.twins_line(each)}" for each in shape.twins),
        *(f"Damaged: {each}" for each in shape.problems),
    ]
