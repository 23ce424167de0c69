"""When this node last read and asked, and for how long the store has answered without a break.

What others have not said is worth something only to whoever would have heard it. When the store was away, nobody could
report, and everybody's report is old: the live ones are heard again only after a while.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

from da_agent.domain.store.polls import due

BREAK = timedelta(seconds=60)
"""Two heartbeats: whoever has not heard the store for so long does not know what happened meanwhile."""

WATCH = timedelta(seconds=60)
"""How long the store must have answered before silence counts.

A live node whose report is overdue, as every one is after an outage, reports within 30 s of the first answer that it
can get: a request that is stuck ends after 20 s and is made again within 4 s; after one that has failed, the heart
tries again in 5 s. One that is not overdue yet becomes so within 30 s, and is silent for less than the 100 s for which
a report counts. So twice those 30 s will do, however old the reports are that are found at the beginning.

Less would not do: nothing tells a cluster whose nodes have all died from one whose store has just come back, but
waiting for as long as the slowest live node may need.
"""


@dataclass(frozen=True, slots=True)
class Nodes:
    """Those that have reported `lately`, and those that `ever` have: also the dead, whose reports nobody takes away."""

    lately: frozenset[str] = frozenset()
    ever: frozenset[str] = frozenset()

    def perhaps_alive(self, *, sure: bool) -> frozenset[str]:
        """Whom a verdict has to wait for: whoever is not sure holds nobody to be gone."""
        return self.lately if sure else self.ever


@dataclass(frozen=True, slots=True)
class StoreLiveness:
    """Moments of a clock that nobody can set and that goes on while the machine is suspended; None: never, or not since
    the last break.

    read_at    when the record was last read;  asked_at: when a change of it was last asked for
    since      since when the store has answered whenever it was asked;  heard_at: when it did so last
    """

    read_at: timedelta | None = None
    asked_at: timedelta | None = None
    since: timedelta | None = None
    heard_at: timedelta | None = None

    # ---- what happens

    def heard(self, now: timedelta) -> "StoreLiveness":
        unbroken = self.since is not None and not due(self.heard_at, BREAK, now=now)
        return replace(self, since=self.since if unbroken else now, heard_at=now)

    def broken(self) -> "StoreLiveness":
        """The store has not answered."""
        return replace(self, since=None, heard_at=None)

    def read(self, now: timedelta) -> "StoreLiveness":
        return replace(self, read_at=now)

    def asked(self, now: timedelta) -> "StoreLiveness":
        return replace(self, asked_at=now)

    # ---- what follows

    def has_read_within(self, period: timedelta, now: timedelta) -> bool:
        return not due(self.read_at, period, now=now)

    def has_asked_within(self, period: timedelta, now: timedelta) -> bool:
        return not due(self.asked_at, period, now=now)

    def is_sure(self, now: timedelta) -> bool:
        """Whether a node that has not reported lately is gone."""
        return self.since is not None and not due(self.heard_at, BREAK, now=now) and now - self.since >= WATCH
