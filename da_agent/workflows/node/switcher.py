"""From the switch to the proof that a release serves, or back."""

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
"""How long to wait for worker processes that are still starting before they are asked again."""

CHECK_AGAIN = timedelta(milliseconds=250)
"""How long between two rounds of the health checks."""

MISMATCH_PATIENCE = timedelta(seconds=60)
"""How long the worker processes of the live release are asked before the node says that something is wrong."""


class Switcher:
    """Switches, asks the worker processes, checks that all is well, settles or goes back.

    What must outlive the process is in the node state; everything here may be forgotten at any time.
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
        """`verdict` is the record of a release as it is now; it may raise, but takes no longer than a few seconds.
        `revive` begins again the supervised programs that have been given up.
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
        """Whether this process began the probation in the node state itself."""
        return self._probation is not None and node_state.probation == self._probation

    @property
    def left(self) -> timedelta:
        """Of the time of the probation that this process conducts."""
        return self._ends - self._clock.elapsed()

    @property
    def health_left(self) -> timedelta:
        """Of the time in which the release must become healthy; it begins when the processes are stable to serve it."""
        ends = self._ends if self._health_ends is None else min(self._ends, self._health_ends)
        return ends - self._clock.elapsed()

    @property
    def healthy_for(self) -> timedelta | None:
        return None if self._healthy_since is None else self._clock.elapsed() - self._healthy_since

    def settings_of(self, number: int) -> Settings:
        """Those of a staged release."""
        return self._settings(self._installation.load(number))

    # ---- there

    def switch(self, number: int, seen: Observation, in_time: Callable[[], bool]) -> bool:
        """Whether it was still in time: asked behind every write that may take long, right before the switch."""
        # The node state's is for people, and for whoever comes after this process; this one goes by what cannot be set.
        settings = self.settings_of(number)
        probation, self.min_healthy = settings.probation, settings.health.minimum
        self._failing_since = None
        self._ends = self._clock.elapsed() + probation
        self._progress.say(f"Switching from release {seen.current or 'none'} to release {number}")
        # The node state comes first: whoever dies behind it goes back, and whoever dies before it has changed nothing.
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
        """Make the web server serve what the switch points to now, with the least disturbance.

        After an error it is still due: `converge` does it before anybody is asked. A release that the web server
        refuses is a thing to decide about.
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
        # What one release made fail, the next must not be blamed for: neither a better one, nor the way back. Where
        # supervisord does not answer, whoever asks for what has failed finds that out.
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
        """Whether the web server has failed on the release on probation for longer than `health timeout`."""
        if not self._is_trial_of(number):
            return False
        now = self._clock.elapsed()
        since = self._failing_since = now if self._failing_since is None else self._failing_since
        return self._is_late() or now - since >= self.settings_of(number).health.patience

    def _approve(self, number: int) -> None:
        """Before anybody is served by it: ReleaseBroken unless the release's page is as it should be in time, or when
        others have quarantined it meanwhile."""
        health = self.settings_of(number).health
        ends = self._clock.elapsed() + self._patience(health)
        while True:
            left = ends - self._clock.elapsed()
            complaint = self._checkup.page(health, left, warming=True)
            if complaint is None:
                break
            # It is asked once more when its time is over: this machine may have stood still.
            if left <= timedelta():
                raise ReleaseBroken(complaint)
            self._clock.wait(CHECK_AGAIN)
        # Without an answer it goes on: what is begun is not held up by a store that is away.
        record: Rollout | None = None
        with suppress(AgentError):
            record = self._verdict(number)
        if record is not None and is_bad(record, number):
            self._bad = number
            raise ReleaseBroken(rollout_text.quarantine(record))

    def _patience(self, health: Health) -> timedelta:
        """How long one round of the health checks may take: not longer than what is left for them."""
        return min(health.patience, self.health_left)

    def _is_late(self) -> bool:
        return self.left <= timedelta()

    def probe(self, number: int, seen: Observation) -> None:
        if self._due is not None:
            self._refresh(self._due)
            if self.refused is not None and seen.node_state.probation is not None:
                return
        self.asked_late = self._is_late()
        # Until the processes have answered, the release is not known to be healthy.
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
        """The time for the health checks begins once in each probation, whatever the release changes."""
        if self._is_trial_of(number) and self._health_ends is None:
            self._health_ends = self._clock.elapsed() + self.settings_of(number).health.patience

    def _mismatch(self, readiness: Readiness) -> None:
        """The live release is not served as it should be, although it was once: the node is at fault.

        The application may have been loaded while its database was away: a reload mends that. Somebody may have moved
        the switch: then the web server must be told. Whoever calls `converge` again later tries again.
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
        """What is wrong with the release on probation; a check that cannot be made is as good as one that fails."""
        try:
            return self._checkup.unwell(number, health, self._patience(health))
        except AgentError as error:
            return str(error)

    def unwell(self, number: int) -> str | None:
        """What is wrong with this node while it serves the live release `number`."""
        health = self.settings_of(number).health
        self._checkup.wait_for_programs(health.patience)
        return self._checkup.unwell(number, health, health.patience)

    def commit(self, seen: Observation) -> None:
        probation = seen.node_state.probation
        assert probation is not None
        self._node_states.save(seen.node_state.commit())
        self._probation = None
        self._progress.say(f"Serving release {probation.release}: {self.readiness}")

    # ---- and back

    def revert(self, seen: Observation, reason: str) -> None:
        probation = seen.node_state.probation
        assert probation is not None
        self._progress.say(f"Taking release {probation.release} back: {reason}")
        # Before anything else is written to it: the end of the log shows what went wrong.
        log = self._web.log()
        before = way_out(seen)
        # What others have condemned meanwhile is not this node's to blame.
        lasting = self._bad != probation.release
        rejection = failure(seen, probation.release, reason, at=self._clock.now(), lasting=lasting, log=log)
        node_state = seen.node_state.reject(rejection)
        try:
            self._back(probation.release, before)
        except AgentError:
            # The way back is taken again until it ends well, by this process or by the next one.
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
        """Switch first, node state after: whoever dies in between finds the probation again and does the same once
        more."""
        if before is None or before == release or before not in self._installation.staged():
            return
        self._probation = None
        self._move(before)
        self._refresh(before)

    def _move(self, number: int) -> None:
        self._installation.switch(number)
        # Now, because the application may read them when it starts; what goes wrong is raised once the node is at rest.
        with suppress(AgentError):
            self.follow_certificates()

    def follow_certificates(self) -> None:
        """Once for each switch and once in each process: whoever was killed behind a switch left it to the next."""
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
    """A release that is given up: a later retry lets it be tried again."""
    return Rejection(number, reason, at, lasting, seen.retries(number), log)
