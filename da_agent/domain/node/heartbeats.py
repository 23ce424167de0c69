"""When a node sends its report: at once when it has news, otherwise as a heartbeat."""

from dataclasses import dataclass, replace
from datetime import timedelta

from da_agent.domain import texts
from da_agent.domain.node.reports import Phase, Report, is_no_news
from da_agent.domain.store.polls import due

HEARTBEAT = timedelta(seconds=30)
"""How often a node reports although nothing has changed."""

IDLE = frozenset({Phase.STARTING, Phase.SERVING, Phase.STOPPED})
"""The phases in which a node may wait for another process: in the others it is converging."""


def is_due(sent_at: timedelta | None, *, now: timedelta) -> bool:
    """Whether the heartbeat is due. `sent_at` is when the store last took a report, by the monotonic clock; None: the
    last one failed, or there was none.
    """
    return due(sent_at, HEARTBEAT, now=now)


@dataclass(frozen=True, slots=True)
class Told:
    """What a node says of itself: its report, and the other process that it waits for (None: none)."""

    report: Report
    waits: str | None = None

    def is_news(self, before: "Told | None") -> bool:
        """Whether this must be sent at once when `before` was said last. Another reason for waiting is no news."""
        if before is None:
            return True
        return not is_no_news(self.report, before.report) or (self.waits is None) is not (before.waits is None)

    def with_activity(self, activity: str | None) -> Report:
        """The report to send while the step `activity` is in progress; None: no step."""
        waits = self.waits if self.report.phase in IDLE else None
        return replace(self.report, activity=texts.maybe_reason(activity or waits))
