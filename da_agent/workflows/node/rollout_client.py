"""What this node knows of the rollout, and what it writes into its record."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from da_agent import ports
from da_agent.domain.node.decisions import Cluster
from da_agent.domain.node.store_liveness import Nodes, StoreLiveness
from da_agent.domain.release.releases import Release
from da_agent.domain.rollout import rollouts, slots, verdicts
from da_agent.domain.rollout.rollouts import Denied, Rollout, State, is_bad
from da_agent.domain.store.polls import due
from da_agent.errors import AgentError
from da_agent.workflows.records.rollouts import Make, Rollouts


@dataclass(slots=True)
class _Known:
    rollout: Rollout
    fallback: int | None
    others: int | None
    denied: str | None = None
    skip: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Claimed:
    """A turn that lasts for `turn` from `at` on, by a clock that nobody can set: before the request that claimed it."""

    at: timedelta
    slot: timedelta
    begun: bool


class RolloutClient:
    """One node's view of the newest release's rollout. What it knows is forgotten when the store does not answer."""

    def __init__(
        self,
        store: ports.Store,
        rollouts: Rollouts,
        clock: ports.Clock,
        node: str,
        *,
        deadline: ports.Deadline,
        notify: Callable[[Collection[str]], object] = lambda _: None,
    ) -> None:
        """`notify` wakes nodes by name, as well as it can."""
        self._store = store
        self._rollouts = rollouts
        self._clock = clock
        self._deadline = deadline
        self._node = node
        self._notify = notify
        self._known: _Known | None = None
        self._store_liveness = StoreLiveness()
        self._has_claimed = False
        self._aside: str | None = None
        self._listed: frozenset[str] = frozenset()
        self._listed_at: timedelta | None = None

    @property
    def cluster(self) -> Cluster | None:
        """As `decide` wants to know it; None when the store did not answer when it was asked last."""
        known = self._known
        if known is None:
            return None
        try:
            now = self._store.clock()
        except AgentError:
            # A probation goes on to its end also while the store is away.
            return None
        return Cluster(self._node, now, known.rollout, known.fallback, known.others, known.denied, self._aside)

    @property
    def is_over(self) -> bool:
        """Whether the record says that there is a newer release."""
        return self._known is not None and self._known.rollout.closed

    def tells_of_newer(self, number: int | None) -> bool:
        """Whether the record of release `number` is read at each poll: it will be closed when there is a newer one."""
        known = self._known
        return known is not None and known.rollout.release == number and rollouts.tells_of_newer(known.rollout)

    @property
    def fallback(self) -> int | None:
        return None if self._known is None else self._known.fallback

    def look(self, number: int, head: Release | None, *, woken: bool, skip: frozenset[int] = frozenset()) -> None:
        """Read the record of the newest release, opened if nobody has; seldom where little can change, or `woken`.

        The fallback is none of `skip` where another stable release is known.
        """
        known = self._known
        same_way = known is not None and known.rollout.release == number and known.skip == skip
        if known is not None and same_way and not woken and self._is_recent(known):
            return
        # Whatever goes wrong from here on: what was known does not hold any more.
        self._known = None
        now = self._clock.elapsed()
        other = known is None or known.rollout.release != number
        if other or (woken and due(self._listed_at, rollouts.PATIENCE, now=now)):
            # Somebody who has listed them may have found that it is this node's turn.
            self._listed_at = None
        self._store_liveness = self._store_liveness.read(now)
        rollout = self._rollouts.open(number, head)
        self.heard()
        if known is None or not same_way or known.rollout.state is not rollout.state:
            known = _Known(rollout, self._rollouts.way_back(rollout, skip), None)
        # Nothing has changed: the answer would be the same, until the patience with those in front is over.
        patient = self._store_liveness.has_asked_within(rollouts.PATIENCE, now)
        same = known.rollout == rollout and not woken and patient
        self._known = _Known(rollout, known.fallback, known.others, known.denied if same else None, skip)

    def heard(self) -> None:
        """The store has answered."""
        self._store_liveness = self._store_liveness.heard(self._clock.elapsed())

    def unheard(self) -> None:
        """It has not; what is known of the record may still hold. From any thread, as `heard`: when both come at once,
        the next answer, or the next one that does not come, tells again."""
        self._store_liveness = self._store_liveness.broken()

    def stand_aside(self, reason: str | None) -> None:
        """Why this machine takes no part in the rollout, as another one may have its name; None when it does."""
        self._aside = reason

    def forget(self) -> None:
        """It has not, and nothing is known any more of what the others do."""
        self._known = None
        self.unheard()

    def _is_sure(self) -> bool:
        return self._store_liveness.is_sure(self._clock.elapsed())

    def _is_recent(self, known: _Known) -> bool:
        read_period = timedelta() if known.denied is not None else rollouts.read_period(known.rollout)
        return self._store_liveness.has_read_within(read_period, self._clock.elapsed())

    # ---- what decide asks for

    def claim(self, target: int, reason: str, *, joining: bool) -> Claimed | None:
        """None when it is denied: without a request where it is plain that others go first."""
        assert self._known is not None
        if not joining and (denied := self._forgone(target)) is not None:
            self._known.denied = denied.reason
            return None
        at = timedelta()

        def claim(record: Rollout, nodes: Nodes, now: datetime) -> Rollout | Denied:
            nonlocal at
            at = self._clock.elapsed()
            return slots.claim(
                record, self._node, target, nodes.lately, now=now, reason=reason, joining=joining, sure=self._is_sure()
            )

        # Also when the answer never comes.
        self._has_claimed = True
        granted, rollout = self._ask(claim, lists=True), self._known.rollout
        slot = rollout.slot(self._node)
        # What was found out about others may be all that was written.
        if not granted or slot is None or slot.release != target or is_bad(rollout, target):
            return None
        return Claimed(at, rollout.strategy.slot_timeout, slot.begun)

    def _forgone(self, target: int) -> Denied | None:
        assert self._known is not None
        rollout = self._known.rollout
        if due(self._listed_at, slots.listing_lasts(rollout.strategy), now=self._clock.elapsed()):
            return None
        return slots.forgone(rollout, self._node, target, self._listed, now=self._store.clock())

    def look_again(self) -> None:
        """Read the record of the release that was looked at last."""
        assert self._known is not None
        found = self._rollouts.read(self._known.rollout.release)
        self.heard()
        if found is not None:
            self._known.rollout = found

    def take_release_command(self) -> bool:
        return self._ask(lambda record, _, now: slots.take_release_command(record, self._node, now=now))

    def finish_release_command(self, output: tuple[str, ...]) -> None:
        self._ask(lambda record, _, now: slots.finish_release_command(record, self._node, output, now=now))

    def tell_updated(self) -> None:
        self._has_claimed = False
        self._tell(lambda record, live, heard, now: verdicts.updated(record, self._node, live, now=now, heard=heard))

    def tell_failed(self, reason: str, log: tuple[str, ...]) -> None:
        self._tell(
            lambda record, live, heard, now: verdicts.failed(
                record, self._node, reason, log, live, now=now, heard=heard
            )
        )

    def tell_unhealthy(self, reason: str) -> None:
        self._tell(
            lambda record, live, heard, now: verdicts.reported_unhealthy(
                record, self._node, reason, live, now=now, heard=heard
            )
        )

    def give_back(self) -> None:
        self._has_claimed = False
        # Listed, for somebody may have to be woken whose turn it is now.
        self._ask(lambda record, _, now: slots.give_back(record, self._node, now=now), lists=True)

    def leave(self) -> None:
        """The process ends: nobody need wait for its turn to end, or hold it to be lost."""
        if self._has_claimed and self._known is not None and self._aside is None:
            self._deadline(self.give_back)

    def review(self) -> None:
        if self._is_sure():
            self._ask(
                lambda record, nodes, now: verdicts.reviewed(record, self._node, nodes.lately, now=now), lists=True
            )
        if self._known is not None and self._known.rollout.state is State.OPEN:
            self._known.denied = "other nodes have not moved yet"

    def _tell(self, outcome: Callable[[Rollout, frozenset[str], frozenset[str], datetime], Rollout]) -> None:
        """Write what has become of this node, judged by those that may be alive and those that are heard."""
        self._ask(
            lambda record, nodes, now: outcome(record, nodes.perhaps_alive(sure=self._is_sure()), nodes.lately, now),
            lists=True,
        )

    def _ask(self, make: Make, *, lists: bool = False) -> bool:
        """Change the record; whether it was not denied. `lists`: who is alive matters."""
        assert self._known is not None
        known = self._known
        self._store_liveness = self._store_liveness.asked(self._clock.elapsed())
        concerned: frozenset[str] = frozenset()

        def counted(record: Rollout, nodes: Nodes, now: datetime) -> Rollout | Denied:
            nonlocal concerned
            if lists:
                self._listed, self._listed_at = nodes.lately, self._clock.elapsed()
                known.others = len(nodes.perhaps_alive(sure=self._is_sure()) - {self._node})
            made = make(record, nodes, now)
            if not isinstance(made, Denied):
                concerned = slots.concerned(record, made, nodes.lately, now=now)
            return made

        number, node = known.rollout.release, self._node if lists else None
        record, denied = self._rollouts.change(number, counted, node=node)
        self._known.rollout = record
        self._known.denied = None if denied is None else denied.reason
        if concerned - {self._node}:
            self._notify(concerned - {self._node})
        return denied is None
