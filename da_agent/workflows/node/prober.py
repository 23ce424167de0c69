"""Whether the web server serves a release: it takes the release over, is probed, and passes the health checks."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from da_agent import ports
from da_agent.domain.application.readiness import Readiness
from da_agent.domain.config.settings import Health, Settings
from da_agent.domain.display import rollout_text
from da_agent.domain.node.evidence import Evidence
from da_agent.domain.node.observations import Observation
from da_agent.domain.node.probation_watch import ProbationWatch
from da_agent.domain.rollout.rollouts import Rollout, is_bad
from da_agent.errors import AgentError, NodeBroken, ReleaseBroken
from da_agent.workflows.node.checkups import Checkup

ASK_AGAIN = timedelta(milliseconds=100)
"""How long to wait before worker processes that are still starting are probed again."""

CHECK_AGAIN = timedelta(milliseconds=250)
"""The pause between two rounds of the health checks."""


class Prober:
    """Makes the web server serve a release, and collects the evidence that it does."""

    def __init__(
        self,
        *,
        web: ports.WebService,
        workers: ports.Workers,
        checkup: Checkup,
        clock: ports.Clock,
        settings_of: Callable[[int], Settings],
        revive: Callable[[], object],
        verdict: Callable[[int], Rollout | None],
    ) -> None:
        """`settings_of` returns the settings of a staged release. `revive` restarts the supervised programs that
        supervisord gave up on. `verdict` returns the current rollout record of a release. It may raise, but returns
        within a few seconds.
        """
        self._web = web
        self._workers = workers
        self._checkup = checkup
        self._clock = clock
        self._settings_of = settings_of
        self._revive = revive
        self._verdict = verdict
        self.evidence = Evidence()
        self.watch = ProbationWatch()

    # ---- the probation

    def begin(self, watch: ProbationWatch) -> None:
        """A probation begins: what was known of another release counts no more."""
        self.watch = watch
        self.forget()

    def end(self) -> None:
        """The probation is over."""
        self.watch = ProbationWatch()

    def refuse(self, watch: ProbationWatch, reason: str) -> None:
        """The probation that `watch` is of goes on, and must be reverted for `reason`."""
        self.watch = watch
        self.evidence = self.evidence.after_refusal(reason)

    def forget(self) -> None:
        """What the worker processes have answered counts no more."""
        self.evidence = self.evidence.forgotten()

    # ---- the web server takes a release over

    def start(self) -> None:
        self.watch = self.watch.asked(self._clock.elapsed()).unanswered()
        self._web.start()

    def refresh(self, number: int) -> None:
        """Make the web server serve the release that was switched to, with the least disturbance.

        After an error the refresh stays due, and `probe` repeats it before it asks any worker. When the web server
        refuses a release, `Evidence.refused` holds the reason, and the next decision acts on it.
        """
        self.evidence = self.evidence.before_refresh(number)
        try:
            self._serve(number)
        except ReleaseBroken as broken:
            self.evidence = self.evidence.after_refusal(str(broken))
        except AgentError as error:
            if not self._is_caused_by(number):
                raise
            self.evidence = self.evidence.after_refusal(str(error))
        self.evidence = self.evidence.after_refresh()
        # Programs that failed because of one release must not count against the next one, be it newer or the way back.
        # When supervisord does not answer, the later request for the failed programs reports that.
        with suppress(NodeBroken):
            self._revive()

    def _serve(self, number: int) -> None:
        longest = self._settings_of(number).start_timeout
        if self.watch.is_of(number):
            left = max(self.watch.left(self._clock.elapsed()), timedelta())
            self._web.serve(number, min(left, longest), lambda: self._approve(number))
        else:
            self._web.serve(number, longest)

    def _is_caused_by(self, number: int) -> bool:
        """Whether an error of the web server counts against release `number`, which is in probation.

        It does when the web server has failed for longer than `health timeout`, or when the probation has ended.
        """
        if not self.watch.is_of(number):
            return False
        now = self._clock.elapsed()
        self.watch = self.watch.failed(now)
        return self.watch.is_late(now) or self.watch.has_failed_for(self._settings_of(number).health.patience, now)

    def _approve(self, number: int) -> None:
        """Check the release before it serves any request. ReleaseBroken when its page is not as it should be in time,
        or when another node has quarantined it meanwhile.
        """
        self._await_page(self._settings_of(number).health)
        # Without an answer the switch continues: an unreachable store must not hold up a switch in progress.
        record: Rollout | None = None
        with suppress(AgentError):
            record = self._verdict(number)
        if record is not None and is_bad(record, number):
            self.watch = self.watch.condemned()
            raise ReleaseBroken(rollout_text.quarantine(record))

    def _await_page(self, health: Health) -> None:
        """Wait until the page is as it should be. ReleaseBroken when it is not in time."""
        ends = self._clock.elapsed() + self._patience(health)
        while True:
            left = ends - self._clock.elapsed()
            complaint = self._checkup.page(health, left, warming=True)
            if complaint is None:
                return
            # One more request is made after the deadline: a suspended machine must not fail the release.
            if left <= timedelta():
                raise ReleaseBroken(complaint)
            self._clock.wait(CHECK_AGAIN)

    def _patience(self, health: Health) -> timedelta:
        """How long one round of the health checks may take: never longer than the time left for them."""
        return min(health.patience, self.watch.health_left(self._clock.elapsed()))

    # ---- the worker processes are probed

    def probe(self, number: int, seen: Observation) -> None:
        """Ask the worker processes which release they serve, after a refresh that is due.

        NodeBroken when they do not serve the live release, outside a probation.
        """
        if self.evidence.due is not None:
            self.refresh(self.evidence.due)
            if self.evidence.refused is not None and seen.node_state.probation is not None:
                return
        asked = self.watch.asked(self._clock.elapsed())
        self.watch = asked.unanswered()
        answers = self._workers.ask(max(1, len(seen.web.workers)))
        workers = self._workers.workers()
        self.evidence = self.evidence.after_probe(self._workers.wanted(number), workers, answers)
        readiness = self.evidence.readiness
        assert readiness is not None
        if readiness.holds:
            self.watch = self._with_health_timeout(asked, number)
        elif seen.node_state.probation is None:
            self._repair(readiness)
        else:
            self._clock.wait(ASK_AGAIN)

    def _with_health_timeout(self, watch: ProbationWatch, number: int) -> ProbationWatch:
        if not watch.is_of(number):
            return watch
        return watch.ready(self._settings_of(number).health.patience, self._clock.elapsed())

    def _repair(self, readiness: Readiness) -> None:
        """The node no longer serves the live release, although it did before: the node is unhealthy.

        A reload helps when the application was loaded while its database was away. Refreshing the web server helps when
        an admin moved the switch by hand. A later `converge` tries again. NodeBroken unless the workers may still be
        loading.
        """
        now = self._clock.elapsed()
        self.evidence = self.evidence.after_mismatch(now)
        if self.evidence.may_still_load(now):
            self._clock.wait(ASK_AGAIN)
            return
        self.evidence = self.evidence.after_repair()
        self.refresh(readiness.release)
        self._web.reload()
        raise NodeBroken(
            f"cannot serve release {readiness.release}: {readiness}. The node reloads the application and tries again."
        )

    # ---- the health checks are made

    def check(self, number: int, seen: Observation) -> None:
        """Make the health checks of the release in probation once."""
        assert seen.node_state.probation is not None
        health = self._settings_of(number).health
        self.watch = self.watch.checking(self._clock.elapsed())
        failing = self._failing_check(number, health)
        now = self._clock.elapsed()
        self.watch = self.watch.checked(failing, now)
        self._clock.wait(CHECK_AGAIN if failing is not None else min(CHECK_AGAIN, self.watch.healthy_left(now)))

    def _failing_check(self, number: int, health: Health) -> str | None:
        """What is wrong with the release on probation, or None. A check that cannot be made counts as failed."""
        try:
            return self._checkup.failing(number, health, self._patience(health))
        except AgentError as error:
            return str(error)

    def failing_on_live(self, number: int) -> str | None:
        """What is wrong with this node while it serves the live release `number`; None when it is healthy."""
        health = self._settings_of(number).health
        self._checkup.wait_for_programs(health.patience)
        return self._checkup.failing(number, health, health.patience)
