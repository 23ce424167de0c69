"""Removing what is no longer needed, from the store and from a node's disk."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from da_agent import ports
from da_agent.domain.node import garbage
from da_agent.domain.node.node_states import NodeState
from da_agent.domain.node.reports import Report
from da_agent.domain.release import numbering
from da_agent.domain.store import keys
from da_agent.domain.store.blobs import Blob
from da_agent.domain.store.inboxes import Entry
from da_agent.errors import Corrupt, NotFound, UnknownFormat
from da_agent.workflows.records.inboxes import Inboxes
from da_agent.workflows.records.ledgers import Ledger
from da_agent.workflows.records.reports import Reports
from da_agent.workflows.records.rollouts import Rollouts
from da_agent.workflows.upkeep.gc_lock import GcLock, Held


@dataclass(frozen=True, slots=True)
class Collected:
    """What was removed, or would be: releases by number, blobs by key, and the size of the blobs in bytes.

    `nodes` are the names of nodes that have been silent for so long that their reports were removed, too. `problems`
    has a sentence for each record that cannot be read, and for what stays because of it.
    """

    releases: tuple[int, ...] = ()
    blobs: tuple[str, ...] = ()
    size: int = 0
    nodes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def __add__(self, other: "Collected") -> "Collected":
        return Collected(
            self.releases + other.releases,
            self.blobs + other.blobs,
            self.size + other.size,
            self.nodes + other.nodes,
            other.problems or self.problems,
        )


ROUND = timedelta(seconds=20)
"""How long one round takes. An admin who goes back to an old release waits for one round, not for all of them."""

BREAK = timedelta(seconds=2)
"""The pause between two rounds. A process that waits for the gc lock asks twice a second."""


def collect(
    survey: "Survey",
    gc_lock: GcLock,
    clock: ports.Clock,
    *,
    dry_run: bool,
    who: str,
    nonce: str,
    tell: Callable[[Collected], object] = lambda _: None,
) -> Collected:
    """Remove releases and blobs that no node needs, and the reports of nodes that are long gone, or only find them.

    While a report that counts cannot be read, every release stays. While a release that stays cannot be read, every
    blob stays. `problems` names them. The gc lock is held during each round
    (docs/decisions/0011-removing-beside-releases.md), and each round looks at everything again. `tell` gets what has
    been removed, also when an error ends the work.
    """
    if dry_run:
        return survey.plan(lambda: None).collected()
    done = Collected()
    try:
        while True:
            with gc_lock.alone(f"{who}, collecting", nonce) as held:
                removal = _Removal(survey, clock, held, survey.plan(held.renew))
                try:
                    ended = removal.run()
                finally:
                    done += removal.done
            if ended:
                return done
            clock.wait(BREAK)
    finally:
        tell(done)


@dataclass(frozen=True, slots=True)
class Collectable:
    """What may be removed, oldest first. `head` is the newest release at that time."""

    head: int
    releases: tuple[int, ...]
    blobs: tuple[Entry, ...]
    nodes: tuple[str, ...]
    problems: tuple[str, ...] = ()

    def collected(self) -> Collected:
        size = sum(entry.size for entry in self.blobs)
        return Collected(self.releases, tuple(entry.key for entry in self.blobs), size, self.nodes, self.problems)


class _Removal:
    """Removes what is in a plan; `done` is what has been removed.

    A rollout record goes before its release, and the release before its blobs, oldest first. Wherever the work is
    interrupted, no record is about a missing release, and no release lacks a blob.
    """

    def __init__(self, survey: "Survey", clock: ports.Clock, held: Held, plan: Collectable) -> None:
        self._store = survey.store
        self._clock = clock
        self._held = held
        self._plan = plan
        self._ledger = survey.ledger
        self.done = Collected(problems=plan.problems)

    def run(self) -> bool:
        """True when everything is done; False when other processes should get the lock, or when there is a newer
        release.
        """
        steps = [
            *(partial(self._remove_report, node) for node in self._plan.nodes),
            *(partial(self._remove_release, number) for number in self._plan.releases),
            *(partial(self._remove_blob, entry) for entry in self._plan.blobs),
        ]
        give_way_at, head = self._clock.elapsed() + ROUND, self._plan.head or None
        for step in steps:
            if self._clock.elapsed() >= give_way_at or self._ledger.head(head) != head:
                return False
            step()
        return True

    def _remove_report(self, node: str) -> None:
        old = [key for key in (keys.node_key(node), keys.left_key(node)) if self._is_old(key, garbage.GONE_AFTER)]
        for key in old:
            self._held.require()
            self._store.delete(key)
        if old:
            self.done += Collected(nodes=(node,))

    def _remove_release(self, number: int) -> None:
        self._held.require()
        self._store.delete(keys.rollout_key(number))
        self._store.delete(keys.release_key(number))
        self.done += Collected(releases=(number,))

    def _remove_blob(self, entry: Entry) -> None:
        if self._is_old(entry.key, garbage.AGE):
            self._held.require()
            self._store.delete(entry.key)
            self.done += Collected(blobs=(entry.key,), size=entry.size)

    def _is_old(self, key: str, age: timedelta) -> bool:
        """Checked once more: an agent that does not know the gc lock may have written the object again."""
        found = next((each for each in self._store.scan(key) if each.key == key), None)
        return found is not None and self._store.clock() - found.modified_at > age


@dataclass(frozen=True, slots=True)
class Survey:
    """Finds what may be removed."""

    store: ports.Store
    ledger: Ledger
    inboxes: Inboxes
    rollouts: Rollouts
    reports: Reports

    def plan(self, renew: Callable[[], object]) -> Collectable:
        """The plan as of now. `renew` is called repeatedly, because looking through a store may take long."""
        now = self.store.clock()
        written = {keys.release_number(entry.key): entry.modified_at for entry in self.store.scan(keys.RELEASES)}
        ledger = numbering.counted(number for number in written if number is not None)
        numbers = {number: written[number] for number in ledger}
        head = max(ledger, default=0)
        problems: list[str] = []
        needed, gone = self._needed(now, renew, problems)
        releases = () if problems else garbage.needless_releases(numbers, needed | self._ways_back(head), now=now)
        used = self._used(sorted(numbers.keys() - set(releases)), renew, problems)
        entries = {}
        for entry in self.store.scan(keys.BLOBS):
            renew()
            entries[entry.key] = entry
        times = {} if used is None else {key: entry.modified_at for key, entry in entries.items()}
        blobs = garbage.needless_blobs(times, map(keys.blob_key, used or ()), now=now)
        return Collectable(head, releases, tuple(entries[key] for key in blobs), gone, tuple(problems))

    def _used(self, numbers: Iterable[int], renew: Callable[[], object], problems: list[str]) -> set[Blob] | None:
        """The blobs of these releases; None when one cannot be read. UnknownFormat when it is a newer agent's."""
        used: set[Blob] | None = set()
        for number in numbers:
            renew()
            try:
                blobs = self.ledger.read(number).contents.blobs()
            except NotFound:
                # An agent that does not know the gc lock has removed it meanwhile.
                continue
            except UnknownFormat:
                raise
            except Corrupt as error:
                key = keys.release_key(number)
                problems.append(f"{error}; no blob was removed. Put {key} back, or remove it once no node needs it")
                used = None
            else:
                used = None if used is None else used | set(blobs)
        return used

    def _ways_back(self, head: int) -> set[int]:
        """The release that the nodes go back to when the newest one is bad, or turns out to be."""
        fallback = self.rollouts.fallback(head)
        return set() if fallback is None else {fallback}

    def _needed(
        self, now: datetime, renew: Callable[[], object], problems: list[str]
    ) -> tuple[set[int], tuple[str, ...]]:
        """The releases that nodes serve or move to, with the release of the inbox; and the names of nodes that are
        gone.
        """
        verdict = self.inboxes.verdict()
        found = {None if verdict is None else verdict.release}
        gone = []
        for entry in self.reports.last():
            renew()
            if now - entry.modified_at > garbage.GONE_AFTER:
                gone.append(keys.node_of(entry.key))
            else:
                report = self._report(entry.key, problems)
                found |= set() if report is None else {report.release, report.target}
        return {number for number in found if number is not None}, tuple(gone)

    def _report(self, key: str, problems: list[str]) -> Report | None:
        try:
            return self.ledger.reader.report(key).value
        except NotFound:
            return None
        except UnknownFormat:
            raise
        except Corrupt as error:
            problems.append(
                f"{error}; no release was removed, because it is not known which one that node needs. A running node"
                f" writes its report again within a minute; remove one that will not return with da-agent forget"
                f" {keys.node_of(key)}"
            )
            return None


@dataclass(frozen=True, slots=True)
class Freed:
    """What was removed from this node's disk, or would be: releases by number, blobs by hash."""

    releases: tuple[int, ...]
    blobs: tuple[str, ...]


def clear(
    installation: ports.Installation,
    blobs: ports.Blobs,
    environments: ports.Environments,
    node_state: NodeState,
    *,
    now: datetime,
    dry_run: bool,
) -> Freed:
    """Remove what this node does not need. The caller holds the node's lock, so that nothing is staged or switched
    meanwhile.

    Releases go before their blobs, as in the store. Corrupt, with nothing removed, when a release that stays is
    damaged.
    """
    staged = installation.staged()
    before = now - garbage.AGE
    releases = installation.needless(garbage.kept_here(staged, installation.current(), node_state), before)
    stay = [installation.load(number) for number in staged - set(releases)]
    needless = blobs.needless(frozenset(blob for each in stay for blob in each.contents.blobs()), before)
    if not dry_run:
        for number in releases:
            installation.remove(number)
        for sha256 in needless:
            blobs.remove(sha256)
        environments.forget()
    return Freed(releases, needless)
