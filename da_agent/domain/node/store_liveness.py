"""For how long the store has answered without a break.

The silence of other nodes means something only when this node would have heard them. After the store was away, every
report is old, because no node could report. The live nodes are heard again only after a while.
"""

from dataclasses import dataclass
from datetime import timedelta

from da_agent.domain.store.polls import due

BREAK = timedelta(seconds=60)
"""Two heartbeats: after so long without an answer of the store a node does not know what happened meanwhile."""

WATCH = timedelta(seconds=60)
"""How long the store must have answered before silence counts.

After an outage every report is overdue. A live node reports within 30 s of the first answer that it can get. A stuck
request ends after 20 s and is made again within 4 s. After a failed request the heartbeat tries again in 5 s. A report
that is not overdue becomes so within 30 s. Its node is then silent for less than the 100 s for which a report counts.
So twice those 30 s are enough, however old the reports are at the beginning.

Less is not enough: a cluster whose nodes have all died looks like one whose store has just come back. Only waiting for
as long as the slowest live node may need tells them apart.
"""


@dataclass(frozen=True, slots=True)
class Nodes:
    """The nodes that have reported `lately`, and those that `ever` have, the dead included: their reports are not
    removed."""

    lately: frozenset[str] = frozenset()
    ever: frozenset[str] = frozenset()

    def perhaps_alive(self, *, sure: bool) -> frozenset[str]:
        """The nodes that a verdict must wait for: when this node is not `sure`, it takes none for gone."""
        return self.lately if sure else self.ever


@dataclass(frozen=True, slots=True)
class StoreLiveness:
    """Moments of a monotonic clock that goes on while the machine is suspended. None: never, or not since the last
    break.

    since      since when the store has answered every request
    heard_at   when the store last answered
    """

    since: timedelta | None = None
    heard_at: timedelta | None = None

    # ---- what happens

    def heard(self, now: timedelta) -> "StoreLiveness":
        """The store has answered."""
        unbroken = self.since is not None and not due(self.heard_at, BREAK, now=now)
        return StoreLiveness(self.since if unbroken else now, now)

    def broken(self) -> "StoreLiveness":
        """The store has not answered."""
        return StoreLiveness()

    # ---- what follows

    def is_sure(self, now: timedelta) -> bool:
        """Whether a node that has not reported lately is gone."""
        return self.since is not None and not due(self.heard_at, BREAK, now=now) and now - self.since >= WATCH
