"""Reading and changing the rollout records in the store."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice

from da_agent import ports
from da_agent.domain import records
from da_agent.domain.config.strategies import Strategy
from da_agent.domain.node.reports import SILENT, is_recent
from da_agent.domain.node.store_liveness import Nodes
from da_agent.domain.release.releases import Release, release_commands
from da_agent.domain.rollout import rollouts
from da_agent.domain.rollout.rollouts import Denied, Note, Rollout, State
from da_agent.domain.store import keys
from da_agent.errors import AgentError, Conflict, Corrupt, NotFound, OutcomeUnknown, Unreachable
from da_agent.workflows.records.readers import Found, Reader

ATTEMPTS = 50
"""How often a change is repeated when concurrent writers win."""

UNANSWERED = 4
"""How often one write is made that the store does not answer and that has not happened."""

ANNOUNCING = 5
"""ATTEMPTS while nodes are waiting to be notified."""

OPENED_CLOSED = 20
"""At most this many unopened releases are opened as closed records. A node further behind reads the ledger first."""

SEARCHED = 20
"""How many records at most are searched for a stable release that this node has not rejected."""

Make = Callable[[Rollout, Nodes, datetime], Rollout | Denied]
"""Makes the new record from the old one, the nodes (empty unless asked for) and the store's time."""


class Rollouts:
    """The rollout records, one per release."""

    def __init__(
        self,
        store: ports.Store,
        reader: Reader,
        nonce: Callable[[], str],
        pause: Callable[[int], object] = lambda _: None,
        attempts: int = ATTEMPTS,
    ) -> None:
        """`nonce` returns a new random text each time.

        `pause` is called before each of `attempts` is repeated, with the number of swaps lost in a row.
        """
        self._store = store
        self._reader = reader
        self._nonce = nonce
        self._pause = pause
        self._attempts = attempts

    def read(self, number: int) -> Rollout | None:
        """The record of release `number`; None while it is not open. Corrupt when it is damaged."""
        found = self._find(number)
        return None if found is None else found.value

    def live(self) -> tuple[str, ...]:
        """The names of the nodes that have reported lately, sorted."""
        return tuple(sorted(self.nodes().lately))

    def nodes(self, within: timedelta = SILENT) -> Nodes:
        """The nodes, in one listing whatever their number; `within` is how long a report counts."""
        now = self._store.clock()
        entries = ((keys.reporter(entry.key), entry.modified_at) for entry in self._store.scan(keys.NODES))
        times = {node: at for node, at in entries if node is not None}
        recent = (node for node, at in times.items() if is_recent(at, within, now=now))
        return Nodes(frozenset(recent), frozenset(times))

    def fallback(self, head: int) -> int | None:
        """The release to serve instead of `head`: the newest stable one, or else the newest that is not bad. None
        without one.
        """
        record = self.readable(head)
        return rollouts.past(self._older(head)).way_back if record is None else self.way_back(record)

    def way_back(self, record: Rollout, skip: frozenset[int] = frozenset()) -> int | None:
        """As `fallback`, for a record that has been read: takes no request, unless an older agent opened the record.

        A release in `skip` is avoided: one of the SEARCHED records before it may have another stable release. Failing
        that, another release that is known to be fit is taken. Without either, the result may still be in `skip`.
        """
        past = record.past or rollouts.past(self._older(record.release))
        back = past.way_back
        if back is None or back not in skip:
            return back
        others = (number for number in (past.served, past.fit) if number is not None and number not in skip)
        return self._stable_before(back, skip) or next(others, back)

    def _stable_before(self, number: int, skip: frozenset[int]) -> int | None:
        older = islice(self._newest_first(number), SEARCHED)
        return next((each.release for each in older if each.state is State.STABLE and each.release not in skip), None)

    def paused(self, number: int) -> Note | None:
        """The pause that holds for release `number`; None when there is none. An unopened record takes over the pause
        of the one before.
        """
        record = self.readable(number) or next(self._newest_first(number), None)
        return None if record is None else record.paused

    def open(self, number: int, release: Release | None, *, attempts: int | None = None) -> Rollout:
        """The record of the newest release, opened now unless it is open already.

        `release` is None when its manifest cannot be read: then no node can go there, and the strategy does not matter.
        When only its configuration is unreadable (StoreDamaged) or invalid (Invalid), nothing is changed: no record is
        opened under another strategy than the release's own.

        The record of the release before is closed first. From then on it grants no slots, so the slots that still run
        can be counted in the new record.
        """
        found = self.read(number)
        if found is not None:
            return found
        strategy = Strategy() if release is None else self._strategy(release)
        before = self._close_before(number, attempts)
        known = release is not None and release.rollback_of is not None and self.is_stable(release.rollback_of)
        return self._create(rollouts.opened(number, strategy, before, now=self._store.clock(), skip_canary=known))

    def announce(self, release: Release) -> None:
        """Open the record of a release that was just appended: nodes that poll the one before find it closed.

        Best effort, without an AgentError: otherwise a node that finds the release in the ledger opens the record.
        """
        with suppress(AgentError):
            self.open(release.number, release, attempts=ANNOUNCING)

    def is_stable(self, number: int) -> bool:
        record = self.readable(number)
        return record is not None and record.state is State.STABLE

    def change(
        self, number: int, make: Make, *, node: str | None = None, attempts: int | None = None
    ) -> tuple[Rollout, Denied | None]:
        """Write what `make` makes of the record, and return the record as written; concurrent changes are retried.

        A denied change is not written; the denial is returned beside the record as it was read. The nodes are listed
        once, and only when `node` is given, which then counts as alive itself. NotFound when there is no record yet.
        Unreachable when other writers win `attempts` times, and when the store does not answer the write.
        """
        nodes = Nodes()
        if node is not None:
            listed, own = self.nodes(), frozenset({node})
            nodes = Nodes(listed.lately | own, listed.ever | own)
        for losses in range(1, (attempts or self._attempts) + 1):
            found = self._find(number)
            if found is None:
                raise NotFound(f"there is no rollout of release {number} in {self._store.name} yet")
            record = found.value
            made = make(record, nodes, self._store.clock())
            if isinstance(made, Denied):
                return record, made
            if made == record:
                return record, None
            stamped = replace(made, generation=record.generation + 1, nonce=self._nonce())
            if self._swap(stamped, found.tag):
                return stamped, None
            self._pause(losses)
        raise Unreachable(
            f"cannot change the rollout of release {number} in {self._store.name}: gave up after"
            f" {attempts or self._attempts} write conflicts with other processes"
        )

    def _swap(self, record: Rollout, tag: str) -> bool:
        """True when the record is written; False when it has changed since it was read.

        Without an answer the nonce decides. A write that has not happened is repeated; that is no lost race.
        """
        unanswered: OutcomeUnknown | None = None
        for number in range(1, UNANSWERED + 1):
            try:
                self._store.write(keys.rollout_key(record.release), records.seal(record), ports.IfTag(tag))
                return True
            except Conflict:
                if unanswered is None:
                    return False
                # The earlier write may have happened late.
            except OutcomeUnknown as error:
                unanswered = error
            found = self._find(record.release)
            if found is None or found.tag != tag:
                return found is not None and found.value.nonce == record.nonce
            self._pause(number)
        assert unanswered is not None
        raise unanswered

    def _create(self, record: Rollout) -> Rollout:
        made = replace(record, generation=1, nonce=self._nonce())
        try:
            self._store.write(keys.rollout_key(record.release), records.seal(made), ports.IfAbsent())
        except (Conflict, OutcomeUnknown) as error:
            there = self.read(record.release)
            if there is None:
                raise Unreachable(f"cannot open the rollout of release {record.release}: {error}") from error
            return there
        return made

    def _close_before(self, number: int, attempts: int | None) -> tuple[Rollout, ...]:
        """Close the records that were the newest until now, usually one, and return them.

        An unopened release gets a closed record, so that no late node can open it beside the new one. A record that
        cannot be read grants no slots: it counts as closed.
        """
        newest = next(self._newest_first(number), None)
        before = () if newest is None else (self._close(newest.release, attempts),)
        first = max(1 if newest is None else newest.release + 1, number - OPENED_CLOSED)
        for each in range(first, number):
            now = self._store.clock()
            with suppress(Corrupt):
                self._create(rollouts.closed(rollouts.opened(each, Strategy(), before, now=now), now=now))
                before = (self._close(each, attempts),)
        return before

    def _older(self, number: int) -> tuple[Rollout, ...]:
        """The records before release `number`, back to the first that knows which release to go back to."""
        found: list[Rollout] = []
        for record in self._newest_first(number):
            found.append(record)
            if rollouts.knows_way_back(record):
                break
        return tuple(found)

    def _newest_first(self, number: int) -> Iterator[Rollout]:
        """The readable records before release `number`, newest first. Lists once, and only where the one before is not
        enough.
        """
        if number <= 1:
            return
        before = self.readable(number - 1)
        if before is not None:
            yield before
        numbers = (keys.rollout_number(entry.key) for entry in self._store.scan(keys.ROLLOUTS))
        for each in sorted((each for each in numbers if each is not None and each < number), reverse=True):
            record = self.readable(each) if before is None or each != before.release else None
            if record is not None:
                yield record

    def readable(self, number: int, tell: Callable[[str], object] = lambda _: None) -> Rollout | None:
        """The record of release `number`; None also when it is damaged: then `tell` gets a sentence."""
        try:
            return self.read(number)
        except Corrupt as error:
            tell(str(error))
            return None

    def _close(self, number: int, attempts: int | None) -> Rollout:
        def close(record: Rollout, _: Nodes, now: datetime) -> Rollout:
            return record if record.closed else rollouts.closed(record, now=now)

        return self.change(number, close, attempts=attempts)[0]

    def _find(self, number: int) -> Found[Rollout] | None:
        try:
            return self._reader.rollout(number)
        except NotFound:
            return None

    def _strategy(self, release: Release) -> Strategy:
        settings = self._reader.settings(release)
        return settings.strategy(release_commands(settings.release_command, release.contents))
