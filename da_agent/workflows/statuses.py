"""What an admin wants to know: this node, the releases, the inbox, the other nodes, and how old all that is."""

from dataclasses import dataclass
from datetime import datetime

from da_agent import ports
from da_agent.domain.inboxes import Verdict
from da_agent.domain.journals import Journal
from da_agent.domain.releases import Release
from da_agent.domain.reports import Sighting
from da_agent.errors import Absent, AgentError
from da_agent.workflows import reports
from da_agent.workflows.inboxes import Inboxes
from da_agent.workflows.ledgers import Ledger


@dataclass(frozen=True, slots=True)
class Here:
    """This node, from its own disk. `heard` is when the store last answered it."""

    node: str
    root: str
    release: int | None
    journal: Journal
    heard: datetime | None


@dataclass(frozen=True, slots=True)
class There:
    """The cluster, from the store, as it was at `at` by the store's clock.

    `head` is the newest release that can be read; `pending`: the inbox has changed since `verdict`, and nobody has
    adopted it yet.
    """

    at: datetime
    store: str
    head: Release | None
    verdict: Verdict | None
    pending: bool
    nodes: tuple[Sighting, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """`there` is None, and `unknown` says why, when the store does not answer."""

    here: Here | None
    there: There | None
    unknown: str | None


def status(store: ports.Store, here: Here | None) -> Status:
    try:
        return Status(here, cluster(store), None)
    except AgentError as error:
        return Status(here, None, str(error))


def cluster(store: ports.Store) -> There:
    ledger, inboxes = Ledger(store), Inboxes(store)
    verdict = inboxes.verdict()
    inbox = inboxes.list()
    return There(
        at=store.clock(),
        store=store.name,
        head=ledger.top().release,
        verdict=verdict,
        pending=bool(inbox.entries) and (verdict is None or verdict.fingerprint != inbox.fingerprint),
        nodes=tuple(reports.sightings(store)),
    )


def history(store: ports.Store, limit: int) -> tuple[Release, ...]:
    """The newest releases first; damaged ones raise Tampered."""
    ledger = Ledger(store)
    numbers = ledger.numbers()[-limit:]
    found = []
    for number in reversed(numbers):
        try:
            found.append(ledger.read(number))
        except Absent:
            continue
    return tuple(found)
