"""From the switch to a committed release, or back to the previous one."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

from da_agent import ports
from da_agent.domain.application.readiness import Answer, Readiness, Worker, readiness_of
from da_agent.domain.config.settings import Health, Settings
from da_agent.domain.display import rollout_text
from da_agent.domain.node.decisions import Observation, escapes, way_out
from da_agent.domain.node.node_states import NodeState, Probation, Rejection
from da_agent.domain.release.releases import Release
from da_agent.domain.rollout.rollouts import Rollout, is_bad
from da_agent.errors import AgentError, NodeBroken, ReleaseBroken
from da_agent.workflows.node.checkups import Checkup

ASK_AGAIN = timedelta(milliseconds=100)
"""How long to wait before worker processes that are still starting are probed again."""

CHECK_AGAIN = timedelta(milliseconds=250)
"""The pause between two rounds of the health checks."""

MISMATCH_PATIENCE = timedelta(seconds=60)
"""How long the worker processes of the live release may still be loading it before the node reports a mismatch."""


class Switcher:
    """Switches, probes the worker processes, runs the health checks, then commits or reverts.

    State that must survive the process is in the node state. Everything kept here may be lost at any time.
    """

    def __init__(
        self,
        *,
        installation: ports.Installation,
        node_states: ports.NodeStates,
        web: ports.WebService,
        workers: ports.Workers,
        checkup: Checkup,
        clock: ports.Clock,
        progress: ports.Progress,
        settings: Callable[[Release], Settings],
        place: Callable[[], object],
        revive: Callable[[], object],
        verdict: Callable[[int], Rollout | None],
    ) -> None:
        """`verdict` returns the current rollout record of a release. It may raise, but returns within a few seconds.
        `revive` restarts the supervised programs that supervisord gave up on.
        """
        self._installation = installation
        self._node_states = node_states
        self._web = web
        self._workers = workers
        self._checkup = checkup
        self._clock = clock
        self._progress = progress
        self._settings = settings
        self._place = place
        self._revive = revive
        self._verdict = verdict
        self._bad: int | None = None
        self._placed: int | None = None
        self._probation: Probation | None = None
        self._due: int | None = None
        self._answers: dict[int, Answer] = {}
        self._mismatched_at: datetime | None = None
        self.refused: str | None = None
        self.readiness: Readiness | None = None
        self.ready_workers: frozenset[Worker] = frozenset()
        self._ends = timedelta()
        self._health_ends: timedelta | None = None
        self._healthy_since: timedelta | None = None
        self._failing_since: timedelta | None = None
        self.min_healthy = timedelta()
        self.asked_late = self.checked_late = False
        self.failing_check: str | None = None

    def conducts(self, node_state: NodeState) -> bool:
        """True when this process began the probation that is in the node state."""
        return self._probation is not None and node_state.probation == self._probation

    @property
    def left(self) -> timedelta:
        """The time left in the probation that this process conducts; negative once it has ended."""
        return self._ends - self._clock.elapsed()

    @property
    def health_left(self) -> timedelta:
        """The time left for the release to become healthy. It starts when every worker is ready with the release, and
        never exceeds the time left in the probation.
        """
        ends = self._ends if self._health_ends is None else min(self._ends, self._health_ends)
        return ends - self._clock.elapsed()

    @property
    def healthy_for(self) -> timedelta | None:
        return None if self._healthy_since is None else self._clock.elapsed() - self._healthy_since

    def settings_of(self, number: int) -> Settings:
        """The settings of the staged release `number`."""
        return self._settings(self._installation.load(number))

    # ---- switch

    def switch(self, number: int, seen: Observation, in_time: Callable[[], bool]) -> bool:
        """Switch to release `number`; False, with the node state restored, when the slot no longer lasts long enough.

        `in_time` is called after every write that may take long, directly before the switch.
        """
        # The deadline in the node state is for admins and for the next process. This process measures with the
        # monotonic clock.
        settings = self.settings_of(number)
        probation, self.min_healthy = settings.probation, settings.health.minimum
        self._failing_since = None
        self._ends = self._clock.elapsed() + probation
        self._progress.say(f"Switching from release {seen.current or 'none'} to release {number}")
        # The node state is written first. A process killed after this write reverts; one killed before it has changed
        # nothing.
        begun = seen.node_state.begin(
            number,
            until=seen.now + probation,
            current=seen.current,
            retries=seen.retries(number),
            escape=escapes(seen, number),
        )
        self._node_states.save(begun)
        if not in_time():
            self._node_states.save(seen.node_state)
            return False
        self._probation = begun.probation
        self._forget_answers()
        self._move(number)
        self._refresh(number)
        return True

    def start(self) -> None:
        self.asked_late = self._is_late()
        self._healthy_since = None
        self._web.start()

    def _refresh(self, number: int) -> None:
        """Make the web server serve the release that was switched to, with the least disturbance.

        After an error the refresh stays due, and `converge` repeats it before it probes any worker. When the web server
        refuses a release, `refused` holds the reason, and the next decision acts on it.
        """
        self._due = number
        self._forget_answers()
        try:
            self._serve(number)
        except ReleaseBroken as broken:
            self.refused = str(broken)
        except AgentError as error:
            if not self._is_to_blame(number):
                raise
            self.refused = str(error)
        self._due = None
        # Programs that failed because of one release must not count against the next one, be it newer or the way back.
        # When supervisord does not answer, the later request for the failed programs reports that.
        with suppress(NodeBroken):
            self._revive()

    def _serve(self, number: int) -> None:
        longest = self.settings_of(number).start_timeout
        if self._is_trial_of(number):
            self._web.serve(number, min(max(self.left, timedelta()), longest), lambda: self._approve(number))
        else:
            self._web.serve(number, longest)

    def _is_trial_of(self, number: int) -> bool:
        return self._probation is not None and self._probation.release == number

    def _is_to_blame(self, number: int) -> bool:
        """True when the web server has failed on the release on probation for longer than `health timeout`, or the
        probation has ended.
        """
        if not self._is_trial_of(number):
            return False
        now = self._clock.elapsed()
        since = self._failing_since = now if self._failing_since is None else self._failing_since
        return self._is_late() or now - since >= self.settings_of(number).health.patience

    def _approve(self, number: int) -> None:
        """Check the release before it serves any request. ReleaseBroken when its page is not as it should be in time,
        or when another node has quarantined it meanwhile.
        """
        health = self.settings_of(number).health
        ends = self._clock.elapsed() + self._patience(health)
        while True:
            left = ends - self._clock.elapsed()
            complaint = self._checkup.page(health, left, warming=True)
            if complaint is None:
                break
            # One more request is made after the deadline: a suspended machine must not fail the release.
            if left <= timedelta():
                raise ReleaseBroken(complaint)
            self._clock.wait(CHECK_AGAIN)
        # Without an answer the switch continues: an unreachable store must not hold up a switch in progress.
        record: Rollout | None = None
        with suppress(AgentError):
            record = self._verdict(number)
        if record is not None and is_bad(record, number):
            self._bad = number
            raise ReleaseBroken(rollout_text.quarantine(record))

    def _patience(self, health: Health) -> timedelta:
        """How long one round of the health checks may take: never longer than the time left for them."""
        return min(health.patience, self.health_left)

    def _is_late(self) -> bool:
        return self.left <= timedelta()

    def probe(self, number: int, seen: Observation) -> None:
        if self._due is not None:
            self._refresh(self._due)
            if self.refused is not None and seen.node_state.probation is not None:
                return
        self.asked_late = self._is_late()
        # Until the workers have answered, the release does not count as healthy.
        since, self._healthy_since = self._healthy_since, None
        for answer in self._workers.ask(max(1, len(seen.workers))):
            self._answers[answer.pid] = answer
        workers = self._workers.workers()
        readiness = self.readiness = readiness_of(self._workers.wanted(number), workers, self._answers.values())
        if readiness.holds:
            self.ready_workers = workers
            self._mismatched_at = None
            self._healthy_since = since
            self._begin_health(number)
        elif seen.node_state.probation is None:
            self._mismatch(readiness)
        else:
            self._clock.wait(ASK_AGAIN)

    def _begin_health(self, number: int) -> None:
        """Start the time for the health checks. It starts once per probation, whatever the release changes."""
        if self._is_trial_of(number) and self._health_ends is None:
            self._health_ends = self._clock.elapsed() + self.settings_of(number).health.patience

    def _mismatch(self, readiness: Readiness) -> None:
        """The node no longer serves the live release, although it did before: the node is unhealthy.

        A reload helps when the application was loaded while its database was away. Refreshing the web server helps when
        an admin moved the switch by hand. A later `converge` tries again. NodeBroken unless the workers may still be
        loading.
        """
        now = self._clock.now()
        self._mismatched_at = self._mismatched_at or now
        if readiness.missing and not readiness.wrong and now - self._mismatched_at < MISMATCH_PATIENCE:
            self._clock.wait(ASK_AGAIN)
            return
        self._mismatched_at = None
        self._refresh(readiness.release)
        self._web.reload()
        raise NodeBroken(f"release {readiness.release} is not served as it should be: {readiness}")

    def check(self, number: int, seen: Observation) -> None:
        assert seen.node_state.probation is not None
        health = self.settings_of(number).health
        self.asked_late, self.checked_late = self._is_late(), self.health_left <= timedelta()
        since, self._healthy_since = self._healthy_since, None
        self.failing_check = self._complaint(number, health)
        if self.failing_check is not None:
            self._clock.wait(CHECK_AGAIN)
            return
        now = self._clock.elapsed()
        since = self._healthy_since = now if since is None else since
        self._clock.wait(max(min(CHECK_AGAIN, since + health.minimum - now), timedelta()))

    def _complaint(self, number: int, health: Health) -> str | None:
        """What is wrong with the release on probation, or None. A check that cannot be made counts as failed."""
        try:
            return self._checkup.unwell(number, health, self._patience(health))
        except AgentError as error:
            return str(error)

    def unwell(self, number: int) -> str | None:
        """What is wrong with this node while it serves the live release `number`; None when it is healthy."""
        health = self.settings_of(number).health
        self._checkup.wait_for_programs(health.patience)
        return self._checkup.unwell(number, health, health.patience)

    def commit(self, seen: Observation) -> None:
        probation = seen.node_state.probation
        assert probation is not None
        self._node_states.save(seen.node_state.commit())
        self._probation = None
        self._progress.say(f"Serving release {probation.release}: {self.readiness}")

    # ---- revert

    def revert(self, seen: Observation, reason: str) -> None:
        probation = seen.node_state.probation
        assert probation is not None
        self._progress.say(f"Taking release {probation.release} back: {reason}")
        # Read before anything else is written to the log: the end of the log shows what went wrong.
        log = self._web.log()
        before = way_out(seen)
        # When other nodes have quarantined the release, this node must not reject it for good.
        lasting = self._bad != probation.release
        rejection = failure(seen, probation.release, reason, at=self._clock.now(), lasting=lasting, log=log)
        node_state = seen.node_state.reject(rejection)
        try:
            self._back(probation.release, before)
        except AgentError:
            # The way back is repeated until it succeeds, by this process or by the next one.
            self._probation, self.refused = probation, reason
            self._node_states.save(node_state)
            raise
        self._node_states.save(node_state.revert())
        self._bad = None
        self._probation = None
        if before is None or before == probation.release:
            raise NodeBroken(f"release {probation.release} does not serve, and there is none to go back to: {reason}")

    def recover(self, seen: Observation) -> None:
        probation = seen.node_state.probation
        assert probation is not None
        self._progress.say(f"The probation of release {probation.release} was interrupted")
        self._back(probation.release, way_out(seen))
        node_state = seen.node_state
        if probation.attempt > 1 and probation.before is not None:
            reason = "its probation was interrupted twice"
            node_state = node_state.reject(failure(seen, probation.release, reason, at=self._clock.now()))
        self._node_states.save(node_state.interrupt())
        self._forget_answers()

    def _back(self, release: int, before: int | None) -> None:
        """Switch first, then write the node state: a process killed in between leaves the probation in place, and the
        next process repeats the same steps.
        """
        if before is None or before == release or before not in self._installation.staged():
            return
        self._probation = None
        self._move(before)
        self._refresh(before)

    def _move(self, number: int) -> None:
        self._installation.switch(number)
        # Placed now, because the application may read the certificates when it starts. An error is raised later, once
        # the node is idle.
        with suppress(AgentError):
            self.follow_certificates()

    def follow_certificates(self) -> None:
        """Place the certificates once per switch and once per process: a process killed after a switch may not have
        done it.
        """
        current = self._installation.current()
        if current is not None and current != self._placed:
            self._place()
            self._placed = current

    def _forget_answers(self) -> None:
        self._answers.clear()
        self.refused = self.readiness = None
        self.ready_workers = frozenset()
        self._healthy_since = self._health_ends = self.failing_check = None
        self.asked_late = self.checked_late = False


def failure(
    seen: Observation, number: int, reason: str, *, at: datetime, lasting: bool = True, log: tuple[str, ...] = ()
) -> Rejection:
    """The record of a release that this node rejects; a later `retry` lets the node try the release again."""
    return Rejection(number, reason, at, lasting, seen.retries(number), log)
