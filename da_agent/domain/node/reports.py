"""What a node reports of itself."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from da_agent.domain import limits
from da_agent.domain.node.inbox_leader import Unable
from da_agent.domain.node.node_states import Rejection
from da_agent.domain.node.notifications import Contact


class Phase(Enum):
    """What the node is doing."""

    STARTING = "starting"
    STAGING = "staging"
    REHEARSING = "rehearsing"
    DRAINING = "draining"
    SWITCHING = "switching"
    PROBATION = "probation"
    SERVING = "serving"
    STOPPED = "stopped"
    LEFT = "left"


AWAY = frozenset({Phase.DRAINING, Phase.SWITCHING, Phase.PROBATION})
"""The phases in which the node may be out of service: nothing should keep it there longer than needed."""


@dataclass(frozen=True, slots=True)
class Report:
    """A record that one node alone writes; the store's modification time of the record is the heartbeat.

    release    the release that the web server was last shown to serve
    target     the release that the node is on its way to
    problem    one sentence; None when the node has no problem
    activity   the long-running step in progress, if any
    rejected   the releases that this node rejected last
    waiting    what keeps the node from its target: the slots of other nodes, or a pause
    contact    where the node can be notified; None for a node that only polls
    unable     the inbox that this node could not publish, and why
    identity   identifies the machine: a copy of its disk has another one
    """

    node: str
    host: str
    address: str
    release: int | None
    target: int | None
    phase: Phase
    problem: str | None
    agent: str
    python: str
    started_at: datetime
    rejected: tuple[Rejection, ...] = ()
    waiting: str | None = None
    activity: str | None = None
    contact: Contact | None = None
    unable: Unable | None = None
    identity: str = ""


def is_no_news(report: Report, before: Report) -> bool:
    """Whether the report can wait for the heartbeat: nothing changed, or only the reason for waiting."""
    waits = report.waiting is not None and before.waiting is not None
    return report == (replace(before, waiting=report.waiting) if waits else before)


SILENT = timedelta(seconds=100)
"""A node that has not reported for this time, three heartbeats, is silent."""


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """A report, and when the store received it."""

    report: Report
    at: datetime

    @property
    def has_left(self) -> bool:
        """Whether the node has signed off: then it is neither silent nor alive."""
        return self.report.phase is Phase.LEFT

    def silent(self, now: datetime, patience: timedelta) -> bool:
        """Whether the report is older than `patience`: an old "healthy" is worth nothing."""
        return not is_recent(self.at, patience, now=now)


def is_recent(at: datetime, patience: timedelta, *, now: datetime) -> bool:
    """Whether a report of this time, by the store's clock, counts. One from the future counts no more than an old
    one."""
    return -limits.CLOCKS <= now - at <= patience
