"""What this node knows of the rollout, and what it writes into the rollout record."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from da_agent import ports
from da_agent.domain.node.observations import Cluster
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
    """A slot that lasts for `slot` from `at` on. `at` is on the monotonic clock, taken before the request that claimed
    it.
    """

    at: timedelta
    slot: timedelta
    begun: bool


class RolloutClient:
    """One node's view of the newest release's rollout. It is forgotten when the store does not answer."""

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
        """`notify` wakes nodes by name, as a best effort."""
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
        """The rollout as `decide` needs it; None when the store did not answer the last request."""
        known = self._known
        if known is None:
            return None
        try:
            now = self._store.clock()
        except AgentError:
            # Without the store a probation still continues to its end.
            return None
        return Cluster(self._node, now, known.rollout, known.fallback, known.others, known.denied, self._aside)

    @property
    def is_over(self) -> bool:
        """True when the record says that there is a newer release."""
        return self._known is not None and self._known.rollout.closed

    def tells_of_newer(self, number: int | None) -> bool:
        """True when the record of release `number` is read at each poll. A newer release closes that record."""
        known = self._known
        return known is not None and known.rollout.release == number and rollouts.tells_of_newer(known.rollout)

    @property
    def fallback(self) -> int | None:
        return None if self._known is None else self._known.fallback

    def look(self, number: int, head: Release | None, *, woken: bool, skip: frozenset[int] = frozenset()) -> None:
        """Read the record of the newest release, opening it if needed. Reads seldom where little can change, unless
        `woken`.

        The fallback is none of `skip`, if another stable release is known.
        """
        known = self._known
        same_way = known is not None and known.rollout.release == number and known.skip == skip
        if known is not None and same_way and not woken and self._is_recent(known):
            return
        # From here on an error must leave nothing known: the old view no longer holds.
        self._known = None
        now = self._clock.elapsed()
        other = known is None or known.rollout.release != number
        if other or (woken and due(self._listed_at, rollouts.PATIENCE, now=now)):
            # Another node that has listed the nodes may have found that this node may claim a slot.
            self._listed_at = None
        self._store_liveness = self._store_liveness.read(now)
        rollout = self._rollouts.open(number, head)
        self.heard()
        if known is None or not same_way or known.rollout.state is not rollout.state:
            known = _Known(rollout, self._rollouts.way_back(rollout, skip), None)
        # When nothing has changed, the slot would be denied again, until the patience with the nodes in front ends.
        patient = self._store_liveness.has_asked_within(rollouts.PATIENCE, now)
        same = known.rollout == rollout and not woken and patient
        self._known = _Known(rollout, known.fallback, known.others, known.denied if same else None, skip)

    def heard(self) -> None:
        """The store has answered."""
        self._store_liveness = self._store_liveness.heard(self._clock.elapsed())

    def unheard(self) -> None:
        """The store has not answered; what is known of the record may still hold.

        `heard` and this may be called from any thread. If both come at once, the next answer or failure corrects the
        result.
        """
        self._store_liveness = self._store_liveness.broken()

    def stand_aside(self, reason: str | None) -> None:
        """Set why this machine takes no part in the rollout, as another machine may have its name; None when it takes
        part.
        """
        self._aside = reason

    def forget(self) -> None:
        """The store has not answered, and the state of the other nodes is unknown."""
        self._known = None
        self.unheard()

    def _is_sure(self) -> bool:
        return self._store_liveness.is_sure(self._clock.elapsed())

    def _is_recent(self, known: _Known) -> bool:
        read_period = timedelta() if known.denied is not None else rollouts.read_period(known.rollout)
        return self._store_liveness.has_read_within(read_period, self._clock.elapsed())

    # ---- actions of decide

    def claim(self, target: int, reason: str, *, joining: bool) -> Claimed | None:
        """Claim a slot for release `target`; None when it is denied. No request is made where other nodes clearly go
        first.
        """
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

        # Set before the request: the slot may be granted although the answer never arrives.
        self._has_claimed = True
        granted, rollout = self._ask(claim, lists=True), self._known.rollout
        slot = rollout.slot(self._node)
        # The record may have changed only by what was found out about other nodes, without a slot for this one.
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
        """Read the record of the release that was read last."""
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
        # Lists the nodes, because a node that may claim the slot next may have to be notified.
        self._ask(lambda record, _, now: slots.give_back(record, self._node, now=now), lists=True)

    def leave(self) -> None:
        """The process ends. Give the slot back, so that no node waits for it to expire or counts this node as lost."""
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
        """Write what has become of this node. `outcome` gets the nodes that may be alive and those heard lately."""
        self._ask(
            lambda record, nodes, now: outcome(record, nodes.perhaps_alive(sure=self._is_sure()), nodes.lately, now),
            lists=True,
        )

    def _ask(self, make: Make, *, lists: bool = False) -> bool:
        """Change the record; False when the change was denied. `lists`: the change depends on which nodes are alive."""
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
