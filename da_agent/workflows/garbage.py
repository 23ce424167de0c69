"""Removing what nobody needs, from the store and from a node's disk."""

from dataclasses import dataclass
from datetime import datetime

from da_agent import ports
from da_agent.domain import garbage, keys
from da_agent.domain.blobs import Blob
from da_agent.domain.journals import Journal
from da_agent.errors import Absent
from da_agent.workflows import reports
from da_agent.workflows.inboxes import Inboxes
from da_agent.workflows.ledgers import Ledger
from da_agent.workflows.rollouts import Rollouts


@dataclass(frozen=True, slots=True)
class Collected:
    """What was removed, or would be: releases by number, blobs by key, and their bytes together."""

    releases: tuple[int, ...]
    blobs: tuple[str, ...]
    size: int


def collect(store: ports.Store, *, dry_run: bool) -> Collected:
    """Remove releases and blobs that no node needs, or only find them.

    Nothing is removed unless every release that stays, and every node's report, could be read: Tampered names the one
    that could not. The record of a rollout goes before its release, and that before its blobs, oldest first: cut
    anywhere, no record tells of a release that is not there, and no release lacks a blob.
    """
    ledger, now = Ledger(store), store.clock()
    written = {keys.release_number(entry.key): entry.modified_at for entry in store.scan(keys.RELEASES)}
    numbers = {number: at for number, at in written.items() if number is not None}
    needed = _needed(store) | _ways_back(store, max(numbers, default=0))
    releases = garbage.needless_releases(numbers, needed, now=now)
    used: set[Blob] = set()
    for number in numbers.keys() - set(releases):
        try:
            used.update(ledger.read(number).contents.blobs())
        except Absent:
            # Another collection has removed it meanwhile.
            continue
    entries = {entry.key: entry for entry in store.scan(keys.BLOBS)}
    blobs = garbage.needless_blobs(
        {key: entry.modified_at for key, entry in entries.items()}, map(keys.blob_key, used), now=now
    )
    if not dry_run:
        for number in releases:
            store.delete(keys.rollout_key(number))
            store.delete(keys.release_key(number))
        for key in blobs:
            store.delete(key)
    return Collected(releases, blobs, sum(entries[key].size for key in blobs))


@dataclass(frozen=True, slots=True)
class Freed:
    """What was removed from this node's disk, or would be: releases by number, blobs by hash."""

    releases: tuple[int, ...]
    blobs: tuple[str, ...]


def clear(
    installation: ports.Installation,
    blobs: ports.Blobs,
    environments: ports.Environments,
    journal: Journal,
    *,
    now: datetime,
    dry_run: bool,
) -> Freed:
    """Remove what this node does not need; for whoever holds the node's lock, so that nobody stages or switches.

    Releases go before their blobs, as in the store. Tampered, and nothing is removed, when one that stays is damaged.
    """
    staged = installation.staged()
    before = now - garbage.AGE
    releases = installation.needless(garbage.kept_here(staged, installation.current(), journal), before)
    stay = [installation.load(number) for number in staged - set(releases)]
    needless = blobs.needless(frozenset(blob for each in stay for blob in each.contents.blobs()), before)
    if not dry_run:
        for number in releases:
            installation.remove(number)
        for sha256 in needless:
            blobs.remove(sha256)
        environments.forget()
    return Freed(releases, needless)


def _ways_back(store: ports.Store, head: int) -> set[int]:
    """Where the nodes go when the newest release is bad, or will be."""
    fallback = Rollouts(store, nonce=str).fallback(head)
    return set() if fallback is None else {fallback}


def _needed(store: ports.Store) -> set[int]:
    verdict = Inboxes(store).verdict()
    found = {None if verdict is None else verdict.release}
    for report in reports.every(store):
        found |= {report.release, report.target}
    return {number for number in found if number is not None}
