"""What a process has asked of the rollout record, and when."""

from dataclasses import dataclass, replace
from datetime import timedelta

from da_agent.domain.store.polls import due


@dataclass(frozen=True, slots=True)
class RecordRequests:
    """Moments of a monotonic clock that goes on while the machine is suspended; None: never.

    read_at       when the record was last read
    asked_at      when a change of the record was last asked for
    listed_at     when the nodes were last listed for a change; None also when that list no longer counts
    nodes         the nodes that had reported lately then
    has_claimed   whether this process may hold a slot: it has claimed one, and has not given it back
    """

    read_at: timedelta | None = None
    asked_at: timedelta | None = None
    listed_at: timedelta | None = None
    nodes: frozenset[str] = frozenset()
    has_claimed: bool = False

    # ---- what happens

    def read(self, now: timedelta) -> "RecordRequests":
        """The record is read."""
        return replace(self, read_at=now)

    def asked(self, now: timedelta) -> "RecordRequests":
        """A change of the record is asked for."""
        return replace(self, asked_at=now)

    def listed(self, nodes: frozenset[str], now: timedelta) -> "RecordRequests":
        """The nodes were listed; `nodes` have reported lately."""
        return replace(self, nodes=nodes, listed_at=now)

    def without_nodes(self) -> "RecordRequests":
        """The list of nodes no longer counts."""
        return replace(self, nodes=frozenset(), listed_at=None)

    def claimed(self) -> "RecordRequests":
        """A slot is claimed. It counts from before the request: the answer may never arrive."""
        return replace(self, has_claimed=True)

    def gave_back(self) -> "RecordRequests":
        """The slot is given back, or was used."""
        return replace(self, has_claimed=False)

    # ---- what follows

    def has_read_within(self, period: timedelta, now: timedelta) -> bool:
        return not due(self.read_at, period, now=now)

    def has_asked_within(self, period: timedelta, now: timedelta) -> bool:
        return not due(self.asked_at, period, now=now)

    def has_listed_within(self, period: timedelta, now: timedelta) -> bool:
        return not due(self.listed_at, period, now=now)
