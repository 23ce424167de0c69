"""The loop of a node: check the inbox when it is due, take new releases from the ledger, converge, report."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from da_agent import ports
from da_agent.domain import texts
from da_agent.domain.config.settings import Settings
from da_agent.domain.node.cycles import SOON, Cycle
from da_agent.domain.node.heartbeats import Told
from da_agent.domain.node.notifications import Contact
from da_agent.domain.node.reports import Phase, Report
from da_agent.domain.rollout.rollouts import State
from da_agent.domain.store import polls
from da_agent.errors import AgentError, Busy
from da_agent.workflows.node.converger import Converger
from da_agent.workflows.node.release_poller import ReleasePoller
from da_agent.workflows.node.reporting import Reporting
from da_agent.workflows.node.rollout_client import RolloutClient
from da_agent.workflows.publish.inbox_leader import InboxLeader
from da_agent.workflows.records.ledgers import Ledger
from da_agent.workflows.records.reports import Reporter

SAY_WAITING_AGAIN = timedelta(seconds=10)
"""How often the log says what the node is waiting for."""


class Reconciler:
    """Level-triggered: each cycle compares the actual state with the wanted one. Events only make the next cycle start
    early.
    """

    def __init__(
        self,
        *,
        store: ports.Store,
        ledger: Ledger,
        admit: Callable[[], None],
        inbox_leader: InboxLeader,
        node: Converger,
        rollout_client: RolloutClient,
        lock: ports.Lock,
        heard: Callable[[], object],
        last_contact: Callable[[], datetime | None],
        clock: ports.Clock,
        deadline: ports.Deadline,
        progress: ports.Progress,
        report: Report,
        settings: Callable[[], Settings],
        chance: Callable[[], float],
        activity: Callable[[], str | None] = lambda: None,
        contact: Callable[[], Contact | None] = lambda: None,
    ) -> None:
        """`admit` raises unless the store may be used. `report` is this node's report with the constant fields filled
        in. `chance` returns a new random number from 0 to 1 each time. `activity` returns the long-running step in
        progress, if any. `contact` returns where this node can be notified now.
        """
        self._ledger = ledger
        self._admit = admit
        self._inbox_leader = inbox_leader
        self._node = node
        self._rollout_client = rollout_client
        self._lock = lock
        self._heard = heard
        self._last_contact = last_contact
        self._clock = clock
        self._deadline = deadline
        self._progress = progress
        self._report = report
        self._settings = settings
        self._chance = chance
        self._contact = contact
        self._poller = ReleasePoller(
            store=store, ledger=ledger, node=node, rollout_client=rollout_client, clock=clock, progress=progress
        )
        self._reporting = Reporting(
            reporter=Reporter(store, ledger.reader),
            report=report,
            rollout_client=rollout_client,
            clock=clock,
            deadline=deadline,
            progress=progress,
            activity=activity,
        )
        self._cycle = Cycle()
        self._admitted = False

    def run(self, intact: Callable[[], bool]) -> None:
        """Cycle while `intact` returns True; it returns False once the node's own folders have disappeared. Stopped
        also ends the loop.
        """
        self._inspect(timedelta())
        woken = True
        try:
            while intact():
                self.cycle(urgent=woken, leads=True)
                period = self._cycle.next_in(self._settings().poll_interval, hands_back=self._node.hands_back)
                woken = self._clock.wait(polls.pause(period, self._chance(), together=woken))
        finally:
            # A process that is told to stop has little time: none for a store that does not answer.
            if self._cycle.answered:
                with suppress(Busy), self._lock.hold(timedelta()):
                    self._node.leave()
                self._inbox_leader.leave()

    def until_serving(self) -> str | None:
        """Cycle while another process publishes or converges. None once this node serves, else the problem."""
        if self._inspect(timedelta()):
            # Serve the release on disk first: publishing the inbox may take long. Never start a quarantined one.
            self._attempt(self._ask_first)
            self._attempt(lambda: self._converge(timedelta()))
        said_at: datetime | None = None
        while True:
            problem = self.cycle()
            if self._node.phase is Phase.SERVING or problem is not None:
                return problem
            waits = self._node.waiting or self._cycle.waits
            if waits is None:
                return "there is no release to serve; da-agent status shows why"
            if polls.due(said_at, SAY_WAITING_AGAIN, now=self._clock.now()):
                said_at = self._clock.now()
                self._progress.say(f"Waiting: {waits}")
            self._clock.wait(SOON)

    def update(self, patience: timedelta) -> str | None:
        """Cycle until there is nothing to wait for, and retry the releases that this node rejected.

        Returns None when this node then serves what it should, else why not. After `patience` this stops waiting for a
        slot or for another process on this node; the loop of the node continues. Busy when the other process holds the
        lock all that time, so that nothing could be retried.
        """
        with self._lock.hold(patience):
            self._node.forget_rejections()
        ends = self._clock.elapsed() + patience
        while True:
            problem = self.cycle(patience=patience)
            waits = self._cycle.waits or self._node.waiting
            if problem is not None or waits is None or self._clock.elapsed() >= ends:
                return problem or waits or self._is_rejected()
            self._clock.wait(SOON)

    def cycle(self, *, urgent: bool = True, leads: bool = False, patience: timedelta = timedelta()) -> str | None:
        """Run one cycle. A problem is logged, reported and returned; the next cycle starts afresh.

        `urgent`: the inbox may have changed, so it is checked whichever node has the inbox lease. `leads`: this process
        takes part in the inbox lease. `patience` is how long to wait for the lock of this node.
        """
        before, self._cycle = self._cycle.problem, self._cycle.begun()
        problem = self._attempt(lambda: self._look(urgent=urgent, leads=leads))
        if problem is not None and not self._cycle.answered:
            problem = f"{problem} (last answer of the store: {self._last_contact() or 'never'})"
        problem = self._attempt(lambda: self._converge(patience)) or problem
        if problem is not None and problem != before:
            self._progress.say(problem)
        self._cycle = self._cycle.ended(problem)
        self._tell()
        return problem

    def beat(self) -> None:
        """Report again if the heartbeat is due. May be called from any thread, while others resolve, stage or wait."""
        self._reporting.beat()

    def _is_rejected(self) -> str | None:
        """Why this node does not serve the newest release although it should; None otherwise."""
        cluster = self._rollout_client.cluster
        if cluster is None or cluster.rollout.state is State.QUARANTINED:
            return None
        failure = self._node.node_state().rejection(cluster.rollout.release)
        return None if failure is None else str(failure)

    def _ask_first(self) -> None:
        """Ask the store for the verdict on the release on disk, if the store answers at once.

        The answer counts only when that release must not be started. Any other release is started first and updated
        later.
        """
        self._deadline(self._ledger.head)
        self._enter()
        self._poller.offer(self._poller.poll(certain=True), woken=True)
        if not self._node.is_on_bad():
            self._rollout_client.forget()

    def _inspect(self, patience: timedelta) -> bool:
        """True unless the live release is damaged."""
        try:
            with self._lock.hold(patience):
                damage = self._node.inspect()
        except Busy:
            # The process that holds the lock has inspected the release itself.
            return True
        if damage:
            self._progress.say(f"The live release is damaged on this node: {damage}")
        return damage is None

    def _attempt(self, work: Callable[[], None]) -> str | None:
        try:
            work()
        except AgentError as error:
            return str(error)
        return None

    def _look(self, *, urgent: bool, leads: bool) -> None:
        """Read what the store has now. On an error, the releases known before stay known."""
        self._enter()
        try:
            polled = self._poller.poll(certain=urgent or self._inbox_leader.is_held)
        except AgentError:
            self._poller.forget()
            raise
        self._cycle = self._cycle.heard()
        self._heard()
        self._rollout_client.heard()
        # Before any claim: while the store was unreachable, another machine may have taken the name.
        self.beat()
        updated = True
        try:
            if leads:
                self._inbox_leader.stand(self._settings().poll_interval)
            updated = self._inbox_leader.look(polled.head, urgent=urgent)
        finally:
            # The ledger is read even when this node cannot publish the inbox: another node may have published it.
            self._cycle = self._cycle.waiting_for(self._inbox_leader.waits)
            self._poller.offer(self._poller.poll(certain=True) if updated else polled, woken=urgent)

    def _enter(self) -> None:
        """Use the store only after `admit` has accepted it."""
        if self._admitted:
            return
        self._admit()
        self._admitted = True
        # Report before any long step: a first publish may take minutes.
        self._tell()

    def _converge(self, patience: timedelta) -> None:
        try:
            with self._lock.hold(patience):
                self._node.converge(self._tell)
        except Busy as busy:
            self._cycle = self._cycle.waiting_for(str(busy))

    def _tell(self) -> None:
        """Report what this node does. Nothing is written to a store that may not be fit."""
        if not self._admitted:
            return
        newest, node_state = self._poller.newest, self._node.node_state()
        failure = None if newest is None else node_state.rejection(newest.number)
        report = replace(
            self._report,
            release=node_state.live,
            target=None if newest is None else newest.number,
            phase=self._node.phase,
            waiting=texts.maybe_reason(self._node.waiting),
            problem=texts.maybe_reason(self._cycle.problem or failure or (None if newest is None else newest.problem)),
            rejected=node_state.rejected[-3:],
            unable=self._inbox_leader.unable,
            contact=self._contact(),
        )
        self._reporting.tell(Told(report, self._cycle.waits))
