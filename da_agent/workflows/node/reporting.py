"""Sending this node's report to the store: at once when it has news, otherwise as a heartbeat."""

from collections.abc import Callable
from datetime import timedelta

from da_agent import ports
from da_agent.domain.node import heartbeats
from da_agent.domain.node.heartbeats import Told
from da_agent.domain.node.reports import AWAY, Report
from da_agent.errors import AgentError
from da_agent.workflows.node.rollout_client import RolloutClient
from da_agent.workflows.records.reports import Reporter


class Reporting:
    """This node's report in the store, and whether this machine has the name that it reports under.

    `beat` may run in any thread beside `tell`. Only `tell` sets what is told. Each other value is replaced as a whole,
    and the next request corrects a value that two threads have set at the same time.
    """

    def __init__(
        self,
        *,
        reporter: Reporter,
        report: Report,
        rollout_client: RolloutClient,
        clock: ports.Clock,
        deadline: ports.Deadline,
        progress: ports.Progress,
        activity: Callable[[], str | None],
    ) -> None:
        """`report` has the constant fields filled in. `activity` returns the long-running step in progress, if any."""
        self._reporter = reporter
        self._rollout_client = rollout_client
        self._clock = clock
        self._deadline = deadline
        self._progress = progress
        self._activity = activity
        self._told: Told | None = None
        self._sent_at: timedelta | None = None
        self._excluded: str | None = None
        rollout_client.set_excluded(reporter.excluded(report))

    def tell(self, told: Told) -> None:
        """Send the report when it has news, or when the heartbeat is due. Otherwise it is kept for the heartbeat."""
        before, self._told = self._told, told
        if told.is_news(before) or self._is_due():
            self._send(told)

    def beat(self) -> None:
        """Send the report again if the heartbeat is due; does nothing before the first `tell`.

        May be called from any thread. It takes no lock, so no other process has to wait for it.
        """
        told = self._told
        if told is not None and self._is_due():
            self._send(told)

    def _is_due(self) -> bool:
        return heartbeats.is_due(self._sent_at, now=self._clock.elapsed())

    def _send(self, told: Told) -> None:
        """Send the report with the current activity; a new activity alone is no reason to write."""
        now = self._clock.elapsed()
        report = told.with_activity(self._activity())
        try:
            if report.phase in AWAY:
                self._deadline(lambda: self._write(told, report))
            else:
                self._write(told, report)
            self._check_name(report)
            # A machine without its name checks at each poll whether the name is free again.
            self._sent_at = now if self._excluded is None else None
            self._rollout_client.heard()
        except AgentError:
            self._sent_at = None
            self._rollout_client.missed()

    def _write(self, told: Told, report: Report) -> None:
        """Send `report`, made of `told`. If a newer one was told meanwhile, send that one as well, so that the last
        write is the newest.
        """
        self._reporter.send(report)
        while self._told is not None and told.report != self._told.report:
            told = self._told
            self._reporter.send(told.report)

    def _check_name(self, report: Report) -> None:
        """Tell the decisions whether this machine has its name, and log a change."""
        before, self._excluded = self._excluded, self._reporter.excluded(report)
        self._rollout_client.set_excluded(self._excluded)
        if self._excluded is not None and self._excluded != before:
            self._progress.say(self._excluded)
        elif self._excluded is None and before is not None:
            self._progress.say(f"This machine has the name {report.node} and takes part in rollouts")
