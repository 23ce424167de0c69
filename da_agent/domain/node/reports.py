"""How a node is, in its own words."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Literal

from da_agent.domain.node.inbox_leader import Unable
from da_agent.domain.node.node_states import Rejection


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
"""Perhaps out of service: nothing should keep the node there for longer than it must be."""


@dataclass(frozen=True, slots=True)
class Report:
    """Written by one node alone; the store's modification time of the record is the heartbeat.

    `release` is what the web server was last stable to serve, `target` what the node is on its way to.
    `problem` is a sentence, None when all is well. `doing` is what it was at, or waited for, when it wrote this;
    None when that is nothing that takes long. `rejected` are the releases that were given up here last.
    `waiting` is what keeps the node from its target: others whose turn it is, or a pause.
    `rpc` is where its supervisord can be notified, as in 10.0.0.7:9001; None for a node that only polls.
    `unable` is the inbox that this node could not publish, and why.
    `identity` is the machine's: a copy of its disk has another one.
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
    rpc: str | None = None
    unable: Unable | None = None
    identity: str = ""
    format: Literal[1] = 1


def is_no_news(report: Report, before: Report) -> bool:
    """Whether it can wait for the heartbeat: whoever waits only waits for somebody else now."""
    waits = report.waiting is not None and before.waiting is not None
    return report == (replace(before, waiting=report.waiting) if waits else before)


SILENT = timedelta(seconds=100)
"""A node that has not reported for three heartbeats is silent."""


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """A report and when the store received it."""

    report: Report
    at: datetime

    @property
    def has_left(self) -> bool:
        """It has signed off: it is no more silent than it is alive."""
        return self.report.phase is Phase.LEFT

    def silent(self, now: datetime, patience: timedelta) -> bool:
        """An old "well" is worth nothing."""
        return now - self.at > patience
