"""From the switch to the proof that a release serves, or back."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

from da_agent import ports
from da_agent.domain import standings
from da_agent.domain.decisions import Observation, escapes, way_out
from da_agent.domain.journals import Failure, Journal, Trial
from da_agent.domain.proofs import Answer, Proof, Worker, prove
from da_agent.domain.releases import Release
from da_agent.domain.rollouts import Rollout, is_bad
from da_agent.domain.settings import Health, Settings
from da_agent.errors import AgentError, NodeBroken, ReleaseBroken
from da_agent.workflows.checkups import Checkup

ASK_AGAIN = timedelta(milliseconds=100)
"""How long to wait for worker processes that are still starting before they are asked again."""

CHECK_AGAIN = timedelta(milliseconds=250)
"""How long between two rounds of the health checks."""

DOUBT = timedelta(seconds=60)
"""How long the worker processes of the live release are asked before the node says that something is wrong."""


class Trials:
    """Switches, asks the worker processes, checks that all is well, settles or goes back.

    What must outlive the process is in the journal; everything here may be forgotten at any time.
    """

    def __init__(
        self,
        *,
        installation: ports.Installation,
        journals: ports.Journals,
        web: ports.WebServer,
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
        self._journals = journals
        self._web = web
        self._checkup = checkup
        self._clock = clock
        self._progress = progress
        self._settings = settings
        self._place = place
        self._revive = revive
        self._verdict = verdict
        self._bad: int | None = None
        self._placed: int | None = None
        self._trial: Trial | None = None
        self._due: int | None = None
        self._answers: dict[int, Answer] = {}
        self._doubted_at: datetime | None = None
        self.refused: str | None = None
        self.proof: Proof | None = None
        self.proven: frozenset[Worker] = frozenset()
        self._ends = timedelta()
        self._healthy_since: timedelta | None = None
        self.asked_late = self.checked_late = False
        self.unhealthy: str | None = None

    def conducts(self, journal: Journal) -> bool:
        """Whether this process began the trial in the journal itself."""
        return self._trial is not None and journal.trial == self._trial

    @property
    def left(self) -> timedelta:
        """Of the time of the trial that this process conducts."""
        return self._ends - self._clock.elapsed()

    @property
    def healthy_for(self) -> timedelta | None:
        return None if self._healthy_since is None else self._clock.elapsed() - self._healthy_since

    def settings_of(self, number: int) -> Settings:
        """Those of a staged release."""
        return self._settings(self._installation.load(number))

    # ---- there

    def switch(self, number: int, seen: Observation, in_time: Callable[[], bool]) -> bool:
        """Whether it was still in time: asked behind every write that may take long, right before the switch."""
        # The journal's is for people, and for whoever comes after this process; this one goes by what cannot be set.
        trial = self.settings_of(number).trial
        self._ends = self._clock.elapsed() + trial
        self._progress.say(f"Switching from release {seen.current or 'none'} to release {number}")
        # The journal comes first: whoever dies behind it goes back, and whoever dies before it has changed nothing.
        begun = seen.journal.begin(
            number,
            until=seen.now + trial,
            current=seen.current,
            pardons=seen.pardons(number),
            escape=escapes(seen, number),
        )
        self._journals.save(begun)
        if not in_time():
            self._journals.save(seen.journal)
            return False
        self._trial = begun.trial
        self._forget_answers()
        self._move(number)
        self._refresh(number)
        return True

    def start(self) -> None:
        self.asked_late = self._is_late()
        self._web.start()

    def _refresh(self, number: int) -> None:
        """Make the web server serve what the switch points to now, with the least disturbance.

        After an error it is still due: `converge` does it before anybody is asked. A release that the web server
        refuses is a thing to decide about.
        """
        self._due = number
        self._forget_answers()
        trial = self._trial
        try:
            if trial is not None and trial.release == number:
                left = min(max(self.left, timedelta()), self.settings_of(number).start_timeout)
                self._web.serve(number, left, lambda: self._approve(number))
            else:
                self._web.serve(number, self.settings_of(number).start_timeout)
        except ReleaseBroken as broken:
            self.refused = str(broken)
        self._due = None
        # What one release made fail, the next must not be blamed for: neither a better one, nor the way back. Where
        # supervisord does not answer, whoever asks for what has failed finds that out.
        with suppress(NodeBroken):
            self._revive()

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
            raise ReleaseBroken(standings.quarantine(record))

    def _patience(self, health: Health) -> timedelta:
        """How long one round of the health checks may take: not longer than the trial."""
        return min(health.patience, self.left)

    def _is_late(self) -> bool:
        return self.left <= timedelta()

    def prove(self, number: int, seen: Observation) -> None:
        if self._due is not None:
            self._refresh(self._due)
            if self.refused is not None and seen.journal.trial is not None:
                return
        self.asked_late = self._is_late()
        for answer in self._web.ask(max(1, len(seen.workers))):
            self._answers[answer.pid] = answer
        workers = self._web.workers()
        proof = self.proof = prove(self._web.wanted(number), workers, self._answers.values())
        if proof.holds:
            self.proven = workers
            self._doubted_at = None
        elif seen.journal.trial is None:
            self._doubt(proof)
        else:
            self._clock.wait(ASK_AGAIN)

    def _doubt(self, proof: Proof) -> None:
        """The live release is not served as it should be, although it was once: the node is at fault.

        The application may have been loaded while its database was away: a reload mends that. Somebody may have moved
        the switch: then the web server must be told. Whoever calls `converge` again later tries again.
        """
        now = self._clock.now()
        self._doubted_at = self._doubted_at or now
        if proof.missing and not proof.wrong and now - self._doubted_at < DOUBT:
            self._clock.wait(ASK_AGAIN)
            return
        self._doubted_at = None
        self._refresh(proof.release)
        self._web.reload()
        raise NodeBroken(f"release {proof.release} is not served as it should be: {proof}")

    def check(self, number: int, seen: Observation) -> None:
        assert seen.journal.trial is not None
        health = self.settings_of(number).health
        self.asked_late = self.checked_late = self._is_late()
        complaint = self.unhealthy = self._checkup.unwell(number, health, self._patience(health))
        if complaint is not None:
            self._healthy_since = None
            self._clock.wait(CHECK_AGAIN)
            return
        now = self._clock.elapsed()
        since = self._healthy_since = now if self._healthy_since is None else self._healthy_since
        self._clock.wait(max(min(CHECK_AGAIN, since + health.minimum - now), timedelta()))

    def unwell(self, number: int) -> str | None:
        """What is wrong with this node while it serves the live release `number`."""
        health = self.settings_of(number).health
        self._checkup.settle(health.patience)
        return self._checkup.unwell(number, health, health.patience)

    def settle(self, seen: Observation) -> None:
        trial = seen.journal.trial
        assert trial is not None
        self._journals.save(seen.journal.settle())
        self._trial = None
        self._progress.say(f"Serving release {trial.release}: {self.proof}")

    # ---- and back

    def revert(self, seen: Observation, reason: str) -> None:
        trial = seen.journal.trial
        assert trial is not None
        self._progress.say(f"Taking release {trial.release} back: {reason}")
        # Before anything else is written to it: the end of the log shows what went wrong.
        log = self._web.log()
        before = way_out(seen)
        self._back(trial.release, before)
        # What others have condemned meanwhile is not this node's to blame.
        lasting, self._bad = self._bad != trial.release, None
        given_up = failure(seen, trial.release, reason, at=self._clock.now(), lasting=lasting, log=log)
        journal = seen.journal.give_up(given_up)
        self._journals.save(journal.revert())
        self._trial = None
        if before is None or before == trial.release:
            raise NodeBroken(f"release {trial.release} does not serve, and there is none to go back to: {reason}")

    def recover(self, seen: Observation) -> None:
        trial = seen.journal.trial
        assert trial is not None
        self._progress.say(f"The trial of release {trial.release} was interrupted")
        self._back(trial.release, way_out(seen))
        journal = seen.journal
        if trial.attempt > 1 and trial.before is not None:
            reason = "its trial was interrupted twice"
            journal = journal.give_up(failure(seen, trial.release, reason, at=self._clock.now()))
        self._journals.save(journal.interrupt())
        self._forget_answers()

    def _back(self, release: int, before: int | None) -> None:
        """Switch first, journal after: whoever dies in between finds the trial again and does the same once more."""
        if before is None or before == release or before not in self._installation.staged():
            return
        self._trial = None
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
        self.refused = self.proof = None
        self.proven = frozenset()
        self._healthy_since = self.unhealthy = None
        self.asked_late = self.checked_late = False


def failure(
    seen: Observation, number: int, reason: str, *, at: datetime, lasting: bool = True, log: tuple[str, ...] = ()
) -> Failure:
    """A release that is given up: a later pardon lets it be tried again."""
    return Failure(number, reason, at, lasting, seen.pardons(number), log)
