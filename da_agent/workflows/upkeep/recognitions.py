"""Whether the store that an admin names is the intended one: an empty folder may be a lost mount."""

from da_agent import ports
from da_agent.domain.node import used_stores
from da_agent.domain.node.used_stores import Used
from da_agent.errors import Unreachable
from da_agent.workflows.records.ledgers import Ledger
from da_agent.workflows.records.reports import Reports


def recognise(
    store: ports.Store, ledger: Ledger, reports: Reports, live: int | None, used: ports.UsedStores | None
) -> int | None:
    """The newest release; Unreachable when the store lacks releases that it had. Writes nothing into the store.

    `live` is the release of the node on this machine. `used` is what this machine knows of stores that may lose their
    mount; None for a store that cannot.
    """
    head = ledger.head()
    complaint = used_stores.behind_node(store.name, head, live)
    if complaint is None and used is not None:
        known = used.load(store.name)
        complaint = used_stores.behind_use(store.name, head, store.identity, known, used.place(store.name))
    if complaint is None:
        seen = (each.report for each in reports.node_statuses())
        complaint = used_stores.behind_reports(store.name, head, seen)
    if complaint is not None:
        raise Unreachable(complaint)
    return head


def remember(store: ports.Store, release: int, used: ports.UsedStores) -> None:
    """Save that this machine has used the store with that release."""
    now = Used(store.name, store.identity, release)
    if used.load(store.name) != now:
        used.save(now)
