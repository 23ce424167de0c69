"""The loop of a node: check the inbox when it is due, take new releases from the ledger, converge, report."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from da_agent import ports
from da_agent.domain.config.settings import Settings
from da_agent.domain.node import garbage, used_stores
from da_agent.domain.node.reports import AWAY, Phase, Report, is_no_news
from da_agent.domain.release.releases import Release
from da_agent.domain.rollout import rollouts
from da_agent.domain.rollout.rollouts import State
from da_agent.domain.store import polls
from da_agent.errors import AgentError, Busy, Corrupt, NotFound, Unreachable
from da_agent.workflows.node.converger import Converger
from da_agent.workflows.node.rollout_client import RolloutClient
from da_agent.workflows.publish.inbox_leader import InboxLeader
from da_agent.workflows.records import reports
from da_agent.workflows.records.ledgers import Ledger

HEARTBEAT = timedelta(seconds=30)
"""How often a node reports although nothing has changed."""

SAY_WAITING_AGAIN = timedelta(seconds=10)
"""How often the log says what the node is waiting for."""

SOON = timedelta(seconds=1)
"""When to start the next cycle while another node publishes, or while this node is not idle."""


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
    ) -> None:
        """`admit` raises unless the store may be used. `report` is this node's report with the constant fields filled
        in. `chance` returns a new random number from 0 to 1 each time. `activity` returns the long-running step in
        progress, if any.
        """
        self._store = store
        self._reporter = reports.Reporter(store, ledger.reader)
        self._aside: str | None = None
        rollout_client.stand_aside(self._reporter.aside(report))
        self._admit = admit
        self._ledger = ledger
        self._inbox_leader = inbox_leader
        self._node = node
        self._rollout_client = rollout_client
        self._lock = lock
        self._heard = heard
        self._last_contact = last_contact
        self._clock = clock
        self._deadline = deadline
        self._progress = progress
        self._settings = settings
        self._chance = chance
        self._report = report
        self._activity = activity
        self._waits: str | None = None
        self._said_waiting_at: datetime | None = None
        self._sent_at: timedelta | None = None
        self._told = False
        self._told_waiting = False
        self._admitted = False
        self._answered = False
        self._head: int | None = None
        self._asked_at: timedelta | None = None
        self._lists = self._misses = False
        self._listed: int | None = None
        self._newest: Release | None = None
        self._offered: tuple[int, int | None] | None = None
        self._stands = False
        self._unreadable: str | None = None
        self._waiting = False
        self._problem: str | None = None
        self._patience = timedelta()

    def run(self, intact: Callable[[], bool]) -> None:
        """Cycle while `intact` returns True; it returns False once the node's own folders have disappeared. Stopped
        also ends the loop.
        """
        self._inspect()
        self._stands = woken = True
        try:
            while intact():
                self.cycle(urgent=woken)
                hurries = self._waiting or self._node.hands_back
                period = SOON if hurries else self._settings().poll_interval
                woken = self._clock.wait(polls.pause(period, self._chance(), together=woken))
        finally:
            # A process that is told to stop has little time: none for a store that does not answer.
            if self._answered:
                with suppress(Busy), self._lock.hold(timedelta()):
                    self._node.leave()
                self._inbox_leader.leave()

    def until_serving(self) -> str | None:
        """Cycle while another process publishes or converges. None once this node serves, else the problem."""
        if self._inspect():
            # Serve the release on disk first: publishing the inbox may take long. Never start a quarantined one.
            self._attempt(self._ask_first)
            self._attempt(self._converge)
        while True:
            problem = self.cycle()
            if self._node.phase is Phase.SERVING or problem is not None:
                return problem
            if not self._waiting and self._node.waiting is None:
                return "there is no release to serve; da-agent status tells why"
            self._say_waiting()
            self._clock.wait(SOON)

    def update(self, patience: timedelta) -> str | None:
        """Cycle until there is nothing to wait for, and retry the releases that this node rejected.

        Returns None when this node then serves what it should, else why not. After `patience` this stops waiting for a
        slot or for another process on this node; the loop of the node continues. Busy when the other process holds the
        lock all that time, so that nothing could be retried.
        """
        with self._lock.hold(patience):
            self._node.forget_rejections()
        self._patience = patience
        ends = self._clock.elapsed() + patience
        while True:
            problem = self.cycle()
            waits = self._waits if self._waiting else self._node.waiting
            if problem is not None or waits is None or self._clock.elapsed() >= ends:
                return problem or waits or self._is_rejected()
            self._clock.wait(SOON)

    def cycle(self, *, urgent: bool = True) -> str | None:
        """Run one cycle. A problem is logged, reported and returned; the next cycle starts afresh.

        `urgent`: the inbox may have changed, so it is checked whichever node has the inbox lease.
        """
        problem = self._attempt(lambda: self._look(urgent=urgent))
        if problem is not None and not self._answered:
            problem = f"{problem} (last answer of the store: {self._last_contact() or 'never'})"
        problem = self._attempt(self._converge) or problem
        if problem is not None and problem != self._problem:
            self._progress.say(problem)
        self._problem = problem
        self._tell(problem)
        return problem

    def beat(self) -> None:
        """Report again if the heartbeat is due. May be called from any thread, while others resolve, stage or wait.

        It takes no lock, so no other process has to wait for it.
        """
        if self._told and polls.due(self._sent_at, HEARTBEAT, now=self._clock.elapsed()):
            self._send(self._report)

    def _is_rejected(self) -> str | None:
        """Why this node does not serve the newest release although it should; None otherwise."""
        cluster = self._rollout_client.cluster
        if cluster is None or cluster.rollout.state is State.QUARANTINED:
            return None
        failure = self._node.node_state().rejection(cluster.rollout.release)
        return None if failure is None else str(failure)

    def _say_waiting(self) -> None:
        now = self._clock.now()
        if self._said_waiting_at is None or now - self._said_waiting_at >= SAY_WAITING_AGAIN:
            self._said_waiting_at = now
            self._progress.say(f"Waiting: {self._node.waiting or self._waits}")

    def _ask_first(self) -> None:
        """Ask the store for the verdict on the release on disk, if the store answers at once.

        The answer counts only when that release must not be started. Any other release is started first and updated
        later.
        """
        self._deadline(self._ledger.head)
        self._enter()
        self._offer(self._known(), urgent=True)
        if not self._node.is_on_bad():
            self._rollout_client.forget()

    def _inspect(self) -> bool:
        """True unless the live release is damaged."""
        try:
            with self._lock.hold(self._patience):
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

    def _look(self, *, urgent: bool) -> None:
        """Read what the store has now. On an error, the releases known before stay known."""
        self._answered = self._waiting = False
        self._enter()
        try:
            head, looked = self._poll(urgent=urgent)
        except AgentError:
            # The state of the other nodes is unknown now. Releases may be gone when the store comes back, so they are
            # listed again.
            self._rollout_client.forget()
            self._lists = True
            raise
        self._answered = True
        self._heard()
        self._rollout_client.heard()
        # Before any claim: while the store was unreachable, another machine may have taken the name.
        self.beat()
        updated = True
        try:
            if self._stands:
                self._inbox_leader.stand(self._settings().poll_interval)
            updated = self._inbox_leader.look(head, urgent=urgent)
        finally:
            # The ledger is read even when this node cannot publish the inbox: another node may have published it.
            self._waiting, self._waits = self._inbox_leader.waiting, self._inbox_leader.waits
            if updated:
                head, looked = self._known(), False
            self._offer(head, urgent=urgent, looked=looked)

    def _poll(self, *, urgent: bool) -> tuple[int | None, bool]:
        """The newest release, and whether its record was read in the same request.

        Where the record is read at each poll, the ledger need not be read: the publisher of the next release closes the
        record. If the publisher is killed in between, the node with the inbox lease finds the release, or every node
        does after a while.
        """
        certain = not self._lists and not polls.due(self._asked_at, rollouts.READ_PERIOD, now=self._clock.elapsed())
        if urgent or not certain or self._inbox_leader.is_held or not self._rollout_client.tells_of_newer(self._head):
            return self._known(), False
        assert self._head is not None
        try:
            self._rollout_client.look(self._head, self._newest, woken=False, skip=self._node.skipped())
        except Corrupt:
            # The store has answered; the next read of the record reports the damage.
            return self._known(), False
        return (self._known(), False) if self._rollout_client.is_over else (self._head, True)

    def _enter(self) -> None:
        """Use the store only after `admit` has accepted it."""
        if self._admitted:
            return
        self._admit()
        self._admitted = True
        # Report before any long step: a first publish may take minutes.
        self._tell(self._problem)

    def _known(self) -> int | None:
        """The newest release of the ledger; None before there is one.

        Unreachable for an empty directory where a disk should be mounted, and for a store that has lost releases. A
        node that has served release 7 knows that it existed: an empty ledger then counts as no answer.
        """
        over = self._rollout_client.is_over
        head, live = self._ledger.head(self._known_before()), self._node.node_state().live
        self._misses = over and head == self._head
        self._asked_at, self._lists = self._clock.elapsed(), False
        complaint = used_stores.behind_node(self._store.name, head, live)
        if complaint is None:
            return head
        raise Unreachable(complaint)

    def _known_before(self) -> int | None:
        """The newest release known before, from which one GET finds the next. None when a listing is needed instead.

        After days of suspension the next releases may have been collected, and so may those after a closed record
        without a successor. One listing answers both cases.
        """
        certain = not polls.due(self._asked_at, garbage.CERTAIN, now=self._clock.elapsed())
        over = self._rollout_client.is_over and self._misses and self._head != self._listed
        if certain and not over and not self._lists:
            return self._head
        self._listed = self._head
        return None

    def _offer(self, head: int | None, *, urgent: bool, looked: bool = False) -> None:
        """Pass the newest release, its rollout record and the fallback to the node."""
        if head is None:
            return
        # An unreadable manifest is read again: an admin may have repaired it.
        if head != self._head or self._newest is None:
            self._newest = self._read_newest(head)
            self._head, self._offered = head, None
        if not looked:
            self._rollout_client.look(head, self._newest, woken=urgent, skip=self._node.skipped())
        wanted = (head, self._rollout_client.fallback)
        if wanted != self._offered:
            others = self._read(wanted[1]) if wanted[1] is not None else None
            self._node.offer(*(release for release in (self._newest, others) if release is not None))
            self._offered = wanted

    def _read_newest(self, head: int) -> Release | None:
        """The manifest of release `head`; None, logged once, when it cannot be read."""
        said, self._unreadable = self._unreadable, None
        try:
            return self._ledger.read(head)
        except (NotFound, Corrupt) as error:
            self._unreadable = f"release {head} cannot be taken from the ledger: {error}"
        if self._unreadable != said:
            self._progress.say(self._unreadable)
        return None

    def _read(self, number: int) -> Release | None:
        try:
            return self._ledger.read(number)
        except (NotFound, Corrupt):
            return None

    def _converge(self) -> None:
        try:
            with self._lock.hold(self._patience):
                self._node.converge(self._tell_phase)
        except Busy as busy:
            self._waiting = True
            self._waits = str(busy)

    def _tell_phase(self) -> None:
        self._tell(self._problem)

    def _tell(self, problem: str | None) -> None:
        """Write this node's report when it has news, or when the heartbeat is due."""
        if not self._admitted:
            # Nothing is written to a store that may not be fit.
            return
        node_state = self._node.node_state()
        failure = node_state.rejection(self._head) if self._head is not None else None
        if problem is None and failure is not None:
            problem = str(failure)
        problem = problem or self._unreadable
        report = replace(
            self._report,
            release=node_state.live,
            target=self._head,
            phase=self._node.phase,
            waiting=self._node.waiting,
            problem=problem,
            rejected=node_state.rejected[-3:],
            unable=self._inbox_leader.unable,
        )
        now = self._clock.elapsed()
        said = is_no_news(report, self._report) and self._waiting == self._told_waiting
        if said and not polls.due(self._sent_at, HEARTBEAT, now=now):
            if report != self._report:
                # Kept for the heartbeat.
                self._report = report
            return
        self._report, self._told, self._told_waiting = report, True, self._waiting
        self._send(report)

    def _send(self, report: Report) -> None:
        """Send `report` with the current activity; a new activity alone is no reason to write."""
        # A node that is converging is not waiting for another process at this moment.
        idle = report.phase in (Phase.STARTING, Phase.SERVING, Phase.STOPPED)
        waits = self._waits if self._waiting and idle else None
        now = self._clock.elapsed()
        told = replace(report, activity=self._activity() or waits)
        try:
            if report.phase in AWAY:
                self._deadline(lambda: self._write(report, told))
            else:
                self._write(report, told)
            self._stand(report)
            # A machine without its name checks at each poll whether the name is free again.
            self._sent_at = now if self._aside is None else None
            self._rollout_client.heard()
        except AgentError:
            self._sent_at = None
            self._rollout_client.unheard()

    def _write(self, report: Report, told: Report) -> None:
        """Send `told`. If a newer report appeared meanwhile, send that one as well, so that the last write is the
        newest.
        """
        self._reporter.send(told)
        while report is not self._report:
            report = self._report
            self._reporter.send(report)

    def _stand(self, report: Report) -> None:
        """Tell the decisions whether this machine has its name, and log a change."""
        before, self._aside = self._aside, self._reporter.aside(report)
        self._rollout_client.stand_aside(self._aside)
        if self._aside is not None and self._aside != before:
            self._progress.say(self._aside)
        elif self._aside is None and before is not None:
            self._progress.say(f"This machine has the name {report.node} and takes part in rollouts")
