"""What this node knows of the rollout, and what it writes into the rollout record."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from da_agent import ports
from da_agent.domain.node.observations import Cluster
from da_agent.domain.node.record_requests import RecordRequests
from da_agent.domain.node.rollout_snapshots import RolloutSnapshot
from da_agent.domain.node.store_liveness import Nodes, StoreLiveness
from da_agent.domain.release.releases import Release
from da_agent.domain.rollout import rollouts, slots, verdicts
from da_agent.domain.rollout.rollouts import Denied, Rollout, State, is_bad
from da_agent.errors import AgentError
from da_agent.workflows.records.rollouts import Make, Rollouts


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
        self._view: RolloutSnapshot | None = None
        self._requests = RecordRequests()
        self._store_liveness = StoreLiveness()
        self._excluded: str | None = None

    @property
    def cluster(self) -> Cluster | None:
        """The rollout as `decide` needs it; None when the store did not answer the last request."""
        if self._view is None:
            return None
        try:
            now = self._store.clock()
        except AgentError:
            # Without the store a probation still continues to its end.
            return None
        return self._view.cluster(self._node, at=now, excluded=self._excluded)

    @property
    def is_over(self) -> bool:
        """True when the record says that there is a newer release."""
        return self._view is not None and self._view.rollout.closed

    def tells_of_newer(self, number: int | None) -> bool:
        """True when the record of release `number` is read at each poll. A newer release closes that record."""
        view = self._view
        return view is not None and view.rollout.release == number and rollouts.tells_of_newer(view.rollout)

    @property
    def fallback(self) -> int | None:
        return None if self._view is None else self._view.fallback

    def look(self, number: int, head: Release | None, *, woken: bool, skip: frozenset[int] = frozenset()) -> None:
        """Read the record of the newest release, opening it if needed. Reads seldom where little can change, unless
        `woken`.

        The fallback is none of `skip`, if another stable release is known.
        """
        view, now = self._view, self._clock.elapsed()
        if view is not None and not woken and view.is_of(number, skip) and self._has_read(view, now):
            return
        # From here on an error must leave nothing known: the old view no longer holds.
        self._view = None
        is_other = view is None or view.rollout.release != number
        if is_other or (woken and not self._requests.has_listed_within(rollouts.PATIENCE, now)):
            # Another node that has listed the nodes may have found that this node may claim a slot.
            self._requests = self._requests.without_nodes()
        self._requests = self._requests.read(now)
        rollout = self._rollouts.open(number, head)
        self.heard()
        if view is None or not view.has_fallback_for(rollout, skip):
            self._view = RolloutSnapshot(rollout, self._rollouts.way_back(rollout, skip), skip=skip)
            return
        # When nothing has changed, the slot would be denied again, until the patience with the nodes in front ends.
        patient = not woken and self._requests.has_asked_within(rollouts.PATIENCE, now)
        self._view = view.read(rollout, patient=patient)

    def _has_read(self, view: RolloutSnapshot, now: timedelta) -> bool:
        return self._requests.has_read_within(view.read_period, now)

    def heard(self) -> None:
        """The store has answered."""
        self._store_liveness = self._store_liveness.heard(self._clock.elapsed())

    def missed(self) -> None:
        """The store has not answered; what is known of the record may still hold.

        `heard` and this may be called from any thread. If both come at once, the next answer or failure corrects the
        result.
        """
        self._store_liveness = self._store_liveness.broken()

    def set_excluded(self, reason: str | None) -> None:
        """Set why this machine takes no part in rollouts, as another machine may have its name; None when it takes
        part.

        May be called from any thread.
        """
        self._excluded = reason

    def forget(self) -> None:
        """The store has not answered, and the state of the other nodes is unknown."""
        self._view = None
        self.missed()

    def _is_sure(self) -> bool:
        return self._store_liveness.is_sure(self._clock.elapsed())

    # ---- actions of decide

    def claim(self, target: int, reason: str, *, joining: bool) -> Claimed | None:
        """Claim a slot for release `target`; None when it is denied. No request is made where other nodes clearly go
        first.
        """
        assert self._view is not None
        if not joining and (denied := self._known_denial(self._view.rollout, target)) is not None:
            self._view = self._view.refused(denied.reason)
            return None
        at = timedelta()

        def claim(record: Rollout, nodes: Nodes, now: datetime) -> Rollout | Denied:
            nonlocal at
            at = self._clock.elapsed()
            return slots.claim(
                record, self._node, target, nodes.lately, now=now, reason=reason, joining=joining, sure=self._is_sure()
            )

        self._requests = self._requests.claimed()
        granted, rollout = self._ask(claim, lists=True)
        slot = rollout.slot(self._node)
        # The record may have changed only by what was found out about other nodes, without a slot for this one.
        if not granted or slot is None or slot.release != target or is_bad(rollout, target):
            return None
        return Claimed(at, rollout.strategy.slot_timeout, slot.begun)

    def _known_denial(self, rollout: Rollout, target: int) -> Denied | None:
        """Why a claim would clearly be denied; None: ask the store."""
        lasts = slots.listing_lasts(rollout.strategy)
        if not self._requests.has_listed_within(lasts, self._clock.elapsed()):
            return None
        return slots.forgone(rollout, self._node, target, self._requests.nodes, now=self._store.clock())

    def look_again(self) -> None:
        """Read the record of the release that was read last."""
        assert self._view is not None
        found = self._rollouts.read(self._view.rollout.release)
        self.heard()
        if found is not None:
            self._view = replace(self._view, rollout=found)

    def take_release_command(self) -> bool:
        granted, _ = self._ask(lambda record, _, now: slots.take_release_command(record, self._node, now=now))
        return granted

    def finish_release_command(self, output: tuple[str, ...]) -> None:
        self._ask(lambda record, _, now: slots.finish_release_command(record, self._node, output, now=now))

    def tell_updated(self) -> None:
        self._requests = self._requests.gave_back()
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
        self._requests = self._requests.gave_back()
        # Lists the nodes, because a node that may claim the slot next may have to be notified.
        self._ask(lambda record, _, now: slots.give_back(record, self._node, now=now), lists=True)

    def leave(self) -> None:
        """The process ends. Give the slot back, so that no node waits for it to expire or counts this node as lost."""
        if self._requests.has_claimed and self._view is not None and self._excluded is None:
            self._deadline(self.give_back)

    def review(self) -> None:
        if self._is_sure():
            self._ask(
                lambda record, nodes, now: verdicts.reviewed(record, self._node, nodes.lately, now=now), lists=True
            )
        if self._view is not None and self._view.rollout.state is State.OPEN:
            self._view = self._view.refused("other nodes are not updated yet")

    def _tell(self, outcome: Callable[[Rollout, frozenset[str], frozenset[str], datetime], Rollout]) -> None:
        """Write what has become of this node. `outcome` gets the nodes that may be alive and those heard lately."""
        self._ask(
            lambda record, nodes, now: outcome(record, nodes.perhaps_alive(sure=self._is_sure()), nodes.lately, now),
            lists=True,
        )

    def _ask(self, make: Make, *, lists: bool = False) -> tuple[bool, Rollout]:
        """Change the record, and return it; False beside the record as it was when the change is denied.

        `lists`: the change depends on which nodes are alive.
        """
        view = self._view
        assert view is not None
        self._requests = self._requests.asked(self._clock.elapsed())
        concerned: frozenset[str] = frozenset()

        def counted(record: Rollout, nodes: Nodes, now: datetime) -> Rollout | Denied:
            nonlocal concerned
            if lists:
                self._view = self._count(view, nodes)
            made = make(record, nodes, now)
            if not isinstance(made, Denied):
                concerned = slots.concerned(record, made, nodes.lately, now=now)
            return made

        record, denied = self._rollouts.change(view.rollout.release, counted, node=self._node if lists else None)
        self._view = (self._view or view).changed(record, None if denied is None else denied.reason)
        if concerned - {self._node}:
            self._notify(concerned - {self._node})
        return denied is None, record

    def _count(self, view: RolloutSnapshot, nodes: Nodes) -> RolloutSnapshot:
        self._requests = self._requests.listed(nodes.lately, self._clock.elapsed())
        return view.counted(len(nodes.perhaps_alive(sure=self._is_sure()) - {self._node}))
