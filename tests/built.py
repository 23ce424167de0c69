"""The workflows' pieces on any store, put together as the wiring does it."""

from collections.abc import Callable, Collection, Iterator
from datetime import timedelta

from da_agent import ports
from da_agent.domain.node.notifications import Key
from da_agent.domain.node.reports import NodeStatus, Report
from da_agent.domain.store import keys
from da_agent.domain.store.inboxes import Verdict
from da_agent.workflows.admin import statuses, waits
from da_agent.workflows.admin.steerings import Steering
from da_agent.workflows.admin.waits import Arrival
from da_agent.workflows.publish.drafts import Drafts
from da_agent.workflows.publish.plans import Plans
from da_agent.workflows.publish.publisher import Publisher
from da_agent.workflows.publish.pushes import Pushes
from da_agent.workflows.records import inboxes as inboxes_
from da_agent.workflows.records.departures import Departures
from da_agent.workflows.records.inboxes import Inboxes
from da_agent.workflows.records.leases import Leases
from da_agent.workflows.records.ledgers import Ledger
from da_agent.workflows.records.notifications import Notifications
from da_agent.workflows.records.readers import Reader
from da_agent.workflows.records.reports import Reports, Watch
from da_agent.workflows.records.rollouts import ATTEMPTS, Rollouts
from da_agent.workflows.upkeep import garbage, recognitions
from da_agent.workflows.upkeep.gc_lock import GcLock


def ledger(store: ports.Store) -> Ledger:
    return Ledger(store, Reader(store))


def inboxes(store: ports.Store) -> Inboxes:
    return Inboxes(store, Reader(store))


def rollouts(
    store: ports.Store,
    nonce: Callable[[], str],
    pause: Callable[[int], object] = lambda _: None,
    attempts: int = ATTEMPTS,
) -> Rollouts:
    return Rollouts(store, Reader(store), nonce, pause, attempts)


def reports(store: ports.Store) -> Reports:
    return Reports(store, Reader(store))


def node_statuses(store: ports.Store, names: Collection[str] | None = None) -> Iterator[NodeStatus]:
    return reports(store).node_statuses(names)


def gc_lock(store: ports.Store, clock: ports.Clock) -> GcLock:
    return GcLock(store, Reader(store), clock)


def leases(store: ports.Store, *, holder: str, nonce: str, key: str = keys.PUBLISHING) -> Leases:
    return Leases(store, Reader(store), holder=holder, nonce=nonce, key=key)


def collect(
    store: ports.Store,
    clock: ports.Clock,
    *,
    dry_run: bool,
    who: str,
    nonce: str,
    tell: Callable[[garbage.Collected], object] = lambda _: None,
) -> garbage.Collected:
    survey = garbage.Survey(store, ledger(store), inboxes(store), rollouts(store, str), reports(store))
    return garbage.collect(survey, gc_lock(store, clock), clock, dry_run=dry_run, who=who, nonce=nonce, tell=tell)


def every(store: ports.Store) -> Iterator[Report]:
    """Every node's last report; Corrupt, naming it, when one is damaged."""
    return (Reader(store).report(entry.key).value for entry in store.scan(keys.NODES))


def departures(store: ports.Store, records: Rollouts) -> Departures:
    return Departures(store, ledger(store), records, reports(store))


def cluster(store: ports.Store, records: Rollouts) -> statuses.There:
    return statuses.cluster(store, ledger(store), inboxes(store), records, reports(store))


def recognise(store: ports.Store, live: int | None, used: ports.UsedStores | None) -> int | None:
    return recognitions.recognise(store, ledger(store), reports(store), live, used)


def until_published(store: ports.Store, clock: ports.Clock, progress: ports.Progress, patience: timedelta) -> Verdict:
    return waits.until_published(store, inboxes(store), reports(store), clock, progress, patience=patience)


def watch(store: ports.Store) -> Watch:
    return reports(store).watch()


def first_configuration(store: ports.Store, render: Callable[[], bytes]) -> bool:
    return inboxes_.first_configuration(store, ledger(store), inboxes(store), render)


def notifications(
    store: ports.Store, notifier: ports.Notifier, key: Callable[[], Key | None], clock: ports.Clock
) -> Notifications:
    return Notifications(store, reports(store), notifier, key, clock)


def steering(
    store: ports.Store,
    records: Rollouts,
    notifications: Notifications,
    clock: ports.Clock,
    transfers: ports.Transfers,
    *,
    who: str,
    nonce: Callable[[], str],
) -> Steering:
    ours = gc_lock(store, clock)
    return Steering(
        store, ledger(store), records, notifications, gc_lock=ours, transfers=transfers, who=who, nonce=nonce
    )


def publisher(
    store: ports.Store,
    transfers: ports.Transfers,
    drafts: Drafts,
    clock: ports.Clock,
    notifications: Notifications,
    *,
    rollouts: Rollouts,
    who: str,
    nonce: Callable[[], str],
) -> Publisher:
    return Publisher(
        store,
        ledger(store),
        inboxes(store),
        transfers,
        drafts,
        clock=clock,
        notifications=notifications,
        gc_lock=gc_lock(store, clock),
        rollouts=rollouts,
        who=who,
        nonce=nonce,
    )


def pushes(store: ports.Store, drafts: Drafts, publisher: Publisher, leases: Leases) -> Pushes:
    return Pushes(store, ledger(store), inboxes(store), drafts=drafts, publisher=publisher, leases=leases)


def plans(store: ports.Store, drafts: Drafts, rollouts: Rollouts) -> Plans:
    return Plans(store, ledger(store), inboxes(store), drafts, rollouts)


def until_stable(
    store: ports.Store,
    rollouts: Rollouts,
    clock: ports.Clock,
    progress: ports.Progress,
    number: int,
    *,
    patience: timedelta,
) -> Arrival:
    return waits.until_stable(
        store, ledger(store), rollouts, reports(store), number, clock=clock, progress=progress, patience=patience
    )
