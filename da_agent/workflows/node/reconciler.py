"""The loop of a node: look at the inbox when it is due, take what is new in the ledger, converge, report."""

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
"""How often the log says what is being waited for."""

SOON = timedelta(seconds=1)
"""When to look again while another node publishes, or when this node is not at rest."""


class Reconciler:
    """Level-triggered: each cycle compares what is with what should be; events only make the next one come early."""

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
        """`admit` raises unless the store may be used; `report` is this node's, with what never changes filled in;
        `chance` is from 0 to 1, another one each time; `doing` says what goes on at this moment."""
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
        """Cycle until `intact` says that the node's own folders have vanished; Stopped ends it, too."""
        self._inspect()
        self._stands = woken = True
        try:
            while intact():
                self.cycle(urgent=woken)
                hurries = self._waiting or self._node.hands_back
                period = SOON if hurries else self._settings().poll_interval
                woken = self._clock.wait(polls.pause(period, self._chance(), together=woken))
        finally:
            # Whoever is asked to end has little time: not for a store that does not answer.
            if self._answered:
                with suppress(Busy), self._lock.hold(timedelta()):
                    self._node.leave()
                self._inbox_leader.leave()

    def until_serving(self) -> str | None:
        """Cycle while somebody else publishes or converges; None once this node serves, else the problem."""
        if self._inspect():
            # What is on the disk first: publishing what lies in the inbox may take long. But never what is quarantined.
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
        """Cycle until there is nothing to wait for; also tries again what was given up here. None when this node then
        serves what it should, else why not.

        The turn of this node may be long in coming, and so may the end of another process that is at work here (Busy,
        where nothing could be tried again for it): after `patience` the loop goes on without us.
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
        """One round. What went wrong is said, reported and returned; the next round begins anew.

        `urgent`: something may have happened to the inbox, whoever has the inbox lease.
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
        """Report again if the heartbeat is due. From any thread, while the others resolve, stage or wait.

        Nobody is locked out meanwhile.
        """
        if self._told and polls.due(self._sent_at, HEARTBEAT, now=self._clock.elapsed()):
            self._send(self._report)

    def _is_rejected(self) -> str | None:
        """Why this node does not serve the newest release, when it should."""
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
        """Learn what the cluster thinks of what is on the disk, if the store answers at once.

        It counts only when that must not be started: anything else is started first, and moves on from there.
        """
        self._deadline(self._ledger.head)
        self._enter()
        self._offer(self._known(), urgent=True)
        if not self._node.is_on_bad():
            self._rollout_client.forget()

    def _inspect(self) -> bool:
        """Whether the live release is whole."""
        try:
            with self._lock.hold(self._patience):
                damage = self._node.inspect()
        except Busy:
            # Whoever is at work on this node has looked itself.
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
        """Learn what the store has now. Raises without having forgotten what was known before."""
        self._answered = self._waiting = False
        self._enter()
        try:
            head, looked = self._poll(urgent=urgent)
        except AgentError:
            # Nothing is known now of what the others do, nor which releases are still there when the store comes back.
            self._rollout_client.forget()
            self._lists = True
            raise
        self._answered = True
        self._heard()
        self._rollout_client.heard()
        # Before anything is claimed: after a silence another machine may have taken the name.
        self.beat()
        updated = True
        try:
            if self._stands:
                self._inbox_leader.stand(self._settings().poll_interval)
            updated = self._inbox_leader.look(head, urgent=urgent)
        finally:
            # The ledger is read also when the inbox cannot be published here: others may have done it.
            self._waiting, self._waits = self._inbox_leader.waiting, self._inbox_leader.waits
            if updated:
                head, looked = self._known(), False
            self._offer(head, urgent=urgent, looked=looked)

    def _poll(self, *, urgent: bool) -> tuple[int | None, bool]:
        """The newest release, and whether its record was read, in one request.

        Where the record is read at each poll, the ledger need not be: whoever appends closes it. Should that one have
        been killed in between, whoever has the inbox lease finds the release, or everybody does after a while.
        """
        certain = not self._lists and not polls.due(self._asked_at, rollouts.READ_PERIOD, now=self._clock.elapsed())
        if urgent or not certain or self._inbox_leader.is_held or not self._rollout_client.tells_of_newer(self._head):
            return self._known(), False
        assert self._head is not None
        try:
            self._rollout_client.look(self._head, self._newest, woken=False, skip=self._node.skipped())
        except Corrupt:
            # The store has answered; whoever reads it again complains.
            return self._known(), False
        return (self._known(), False) if self._rollout_client.is_over else (self._head, True)

    def _enter(self) -> None:
        """Use the store only when it is fit."""
        if self._admitted:
            return
        self._admit()
        self._admitted = True
        # Before anything that takes long: what is published first may take minutes.
        self._tell(self._problem)

    def _known(self) -> int | None:
        """The newest release of the ledger; None before there is one.

        An empty directory where a disk should be mounted, or a store that has lost releases, is no store to follow.

        Whoever has served release 7 knows that there was one: an empty ledger is then as good as no answer.
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
        """The newest release as it was known, from which one GET leads to the next; None when that one may be gone.

        Whoever was suspended for days finds that what came next has been collected; so may they whose record is closed
        although nothing has come. For those there is one listing.
        """
        certain = not polls.due(self._asked_at, garbage.CERTAIN, now=self._clock.elapsed())
        over = self._rollout_client.is_over and self._misses and self._head != self._listed
        if certain and not over and not self._lists:
            return self._head
        self._listed = self._head
        return None

    def _offer(self, head: int | None, *, urgent: bool, looked: bool = False) -> None:
        """Let the node know the newest release, what the store says of it, and where to go instead."""
        if head is None:
            return
        # What could not be read is read again: somebody may have mended it.
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
        """None, said once, when its manifest cannot be read."""
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
        """Write this node's record when it says something new, or when the heartbeat is due."""
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
                # For the heartbeat.
                self._report = report
            return
        self._report, self._told, self._told_waiting = report, True, self._waiting
        self._send(report)

    def _send(self, report: Report) -> None:
        """What goes on is told as it is now; that alone is no reason to write."""
        # Who is on its way to a release waits for nobody at this moment.
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
            # A machine that stays beside looks again with each poll whether the name is free.
            self._sent_at = now if self._aside is None else None
            self._rollout_client.heard()
        except AgentError:
            self._sent_at = None
            self._rollout_client.unheard()

    def _write(self, report: Report, told: Report) -> None:
        """Whoever was late, and finds that there is a newer one, sends that, so the last word is the newest."""
        self._reporter.send(told)
        while report is not self._report:
            report = self._report
            self._reporter.send(report)

    def _stand(self, report: Report) -> None:
        """Let the decisions know whether this machine has its name, and say so when that has changed."""
        before, self._aside = self._aside, self._reporter.aside(report)
        self._rollout_client.stand_aside(self._aside)
        if self._aside is not None and self._aside != before:
            self._progress.say(self._aside)
        elif self._aside is None and before is not None:
            self._progress.say(f"This machine has the name {report.node} and takes part in rollouts")
