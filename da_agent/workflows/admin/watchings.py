"""Watching a rollout until there is a verdict."""

from collections.abc import Callable
from datetime import timedelta

from da_agent import ports
from da_agent.domain.display import tables
from da_agent.domain.display.tables import Table
from da_agent.domain.node.reports import SILENT
from da_agent.domain.rollout.rollouts import State
from da_agent.errors import AgentError, Quarantined
from da_agent.workflows.records.ledgers import Ledger
from da_agent.workflows.records.reports import Reports, Watch
from da_agent.workflows.records.rollouts import Rollouts

EVERY = timedelta(seconds=1)


def until_verdict(
    store: ports.Store,
    ledger: Ledger,
    rollouts: Rollouts,
    reports: Reports,
    *,
    clock: ports.Clock,
    show: Callable[[Table], object],
) -> str:
    """`show` the rollout of the newest release each second. Returns the verdict in one sentence; Quarantined raises it.

    A store that does not answer gives no verdict: the table says so, and the next look may succeed.
    """
    known: Table | None = None
    watch = reports.watch()
    while True:
        try:
            known = look(store, ledger, rollouts, watch, known)
        except AgentError as error:
            if known is None:
                raise
            known = tables.unanswered(known, str(error))
        show(known)
        if known.verdict is not None:
            if known.state is State.QUARANTINED:
                raise Quarantined(known.verdict)
            return known.verdict
        clock.wait(EVERY)


def look(store: ports.Store, ledger: Ledger, rollouts: Rollouts, watch: Watch, before: Table | None) -> Table:
    head = ledger.head(before.release if before is not None and before.release else None) or 0
    rollout = rollouts.readable(head) if head else None
    seen, now = watch.look(), store.clock()
    live = tuple(sorted(each.report.node for each in seen if not each.silent(now, SILENT)))
    return tables.table(head, seen, rollout, live, before, now=now)
