"""From wherever this node is to the release it should serve: observe, decide, act."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from da_agent import ports
from da_agent.domain import decisions
from da_agent.domain.decisions import Action, Observation
from da_agent.domain.journals import Journal, Trial
from da_agent.domain.proofs import Answer, Proof, Worker, prove
from da_agent.domain.releases import Release
from da_agent.domain.reports import Phase
from da_agent.domain.settings import Settings
from da_agent.errors import Absent, AgentError, NodeBroken, ReleaseBroken, StoreDamaged, Tampered

ASK_AGAIN = timedelta(milliseconds=100)
"""How long to wait for worker processes that are still starting before they are asked again."""

DOUBT = timedelta(seconds=60)
"""How long the worker processes of the live release are asked before the node says that something is wrong."""


class Node:
    """One node on its way: what it has found out since this process began, and how to do each action.

    What must outlive the process is in the journal and on the disk; everything here may be forgotten at any time.
    """

    def __init__(
        self,
        *,
        installation: ports.Installation,
        journals: ports.Journals,
        transfers: ports.Transfers,
        web: ports.WebServer,
        clock: ports.Clock,
        progress: ports.Progress,
        settings: Callable[[Release], Settings],
        place: Callable[[], object] = lambda: None,
    ) -> None:
        """`place` brings the live release's certificates to where other programs look for them."""
        self._installation = installation
        self._journals = journals
        self._transfers = transfers
        self._web = web
        self._clock = clock
        self._progress = progress
        self._settings = settings
        self._place = place
        self._placed: int | None = None
        self._releases: dict[int, Release] = {}
        self._damaged: set[int] = set()
        self._rehearsed: set[int] = set()
        self._trial: Trial | None = None
        self._due: int | None = None
        self._refused: str | None = None
        self._answers: dict[int, Answer] = {}
        self._proof: Proof | None = None
        self._proven: frozenset[Worker] = frozenset()
        self._doubted_at: datetime | None = None
        self.phase = Phase.STARTING

    # ---- observe

    def offer(self, *releases: Release) -> None:
        """The releases of the ledger that may be taken, as the store has just given them."""
        self._releases = {release.number: release for release in releases}

    def journal(self) -> Journal:
        """The node's memory; without one, what is on disk counts as proven, for it is all there is."""
        found = self._journals.load()
        if found is None:
            found = Journal(live=self._installation.current())
            self._journals.save(found)
        return found

    def inspect(self) -> str | None:
        """Once at start: remove what an interrupted process has left, and check the live release on disk.

        A damaged one that nobody serves is staged again; says what is wrong with it.
        """
        self._installation.sweep(self._installation.staged())
        current = self._installation.current()
        if current is None:
            return None
        try:
            self._installation.verify(current)
        except (Tampered, Absent) as damage:
            # Never under processes that serve it: a damaged release is better than half of one.
            if not self._web.running():
                self._damaged.add(current)
            return str(damage)
        return None

    def forgive(self) -> None:
        """Forget what was given up here: somebody wants it tried again."""
        self._journals.save(replace(self.journal(), failed=(), interrupted=None))

    def observe(self) -> Observation:
        running = self._web.running()
        journal = self.journal()
        return Observation(
            now=self._clock.now(),
            offered=tuple(sorted(self._releases, reverse=True)),
            current=self._installation.current(),
            journal=journal,
            staged=self._installation.staged() - self._damaged,
            rehearsed=frozenset(self._rehearsed),
            conducting=self._trial is not None and journal.trial == self._trial,
            running=running,
            workers=self._web.workers() if running else frozenset(),
            proven=self._proven,
            proof=self._proof,
            refused=self._refused,
        )

    # ---- act

    def converge(self, told: Callable[[], None] = lambda: None) -> None:
        """Act until there is nothing left to do; `told` is called whenever the phase has changed.

        A release that is at fault is given up and the next best is taken; what is not its fault is raised:
        NodeBroken, Unreachable, Forbidden.
        """
        self._web.prepare()
        while True:
            seen = self.observe()
            action = decisions.decide(seen)
            if isinstance(action, decisions.Rest):
                self._sweep(seen)
                self.phase = Phase.SERVING if seen.running else Phase.STOPPED
                told()
                # A node whose other programs lack the new certificates serves all the same, and says so each time.
                self._follow_certificates()
                return
            phase = _PHASES.get(type(action), self.phase)
            if phase is not self.phase:
                self.phase = phase
                told()
            self._act(action, seen)

    def _act(self, action: Action, seen: Observation) -> None:
        match action:
            case decisions.Stage(number):
                self._blame(number, self._stage)
            case decisions.Rehearse(number):
                self._blame(number, self._rehearse)
            case decisions.Switch(number):
                self._switch(number, seen)
            case decisions.Start():
                self._web.start()
                self._due = None
            case decisions.Prove(number):
                self._prove(number, seen)
            case decisions.Settle():
                self._settle(seen)
            case decisions.Revert(reason):
                self._revert(seen, reason)
            case decisions.Recover():
                self._recover(seen)
            case decisions.Accept(number):
                self._journals.save(seen.journal.accept(number))
            case decisions.Rest():
                pass

    def _blame(self, number: int, work: Callable[[Release], None]) -> None:
        """Do something that can show that the release is bad; then it is given up here, and the live one stays."""
        release = self._release(number)
        try:
            work(release)
        except (ReleaseBroken, StoreDamaged) as fault:
            lasting = isinstance(fault, ReleaseBroken)
            self._progress.say(f"Release {number} {'is given up' if lasting else 'cannot be taken yet'}: {fault}")
            self._journals.save(self.journal().give_up(number, str(fault), at=self._clock.now(), lasting=lasting))

    def _stage(self, release: Release) -> None:
        self._progress.say(f"Staging release {release.number}")
        self._transfers.fetch(release.contents.blobs())
        try:
            self._installation.stage(release, self._settings(release))
        except Tampered as damage:
            # The node's own copies: the wrong ones have been dropped, and are fetched again.
            self._progress.say(str(damage))
            self._transfers.fetch(release.contents.blobs())
            self._installation.stage(release, self._settings(release))
        self._damaged.discard(release.number)

    def _rehearse(self, release: Release) -> None:
        self._progress.say(f"Rehearsing release {release.number}")
        self._web.rehearse(release.number)
        self._rehearsed.add(release.number)

    def _switch(self, number: int, seen: Observation) -> None:
        until = seen.now + self._settings(self._installation.load(number)).start_timeout
        self._progress.say(f"Switching from release {seen.current or 'none'} to release {number}")
        # The journal comes first: whoever dies behind it goes back, and whoever dies before it has changed nothing.
        begun = seen.journal.begin(number, until=until)
        self._journals.save(begun)
        self._trial = begun.trial
        self._forget_answers()
        self._move(number)
        self._refresh(number)

    def _refresh(self, number: int) -> None:
        """Make the web server serve what the switch points to now, with the least disturbance.

        After an error it is still due: `converge` does it before anybody is asked. A release that the web server
        refuses is a thing to decide about.
        """
        self._due = number
        self._forget_answers()
        try:
            self._web.serve(number, self._patience(number))
        except ReleaseBroken as broken:
            self._refused = str(broken)
        self._due = None

    def _patience(self, number: int) -> timedelta:
        """What is left of a trial; outside of one, as long as one."""
        trial = self._trial
        if trial is not None and trial.release == number:
            return max(trial.until - self._clock.now(), timedelta())
        return self._settings(self._release(number)).start_timeout

    def _prove(self, number: int, seen: Observation) -> None:
        if self._due is not None:
            self._refresh(self._due)
            if self._refused is not None and seen.journal.trial is not None:
                return
        for answer in self._web.ask(max(1, len(seen.workers))):
            self._answers[answer.pid] = answer
        workers = self._web.workers()
        proof = self._proof = prove(self._web.wanted(number), workers, self._answers.values())
        if proof.holds:
            self._proven = workers
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

    def _settle(self, seen: Observation) -> None:
        trial = seen.journal.trial
        assert trial is not None
        self._journals.save(seen.journal.settle())
        self._trial = None
        self._progress.say(f"Serving release {trial.release}: {self._proof}")

    def _revert(self, seen: Observation, reason: str) -> None:
        trial = seen.journal.trial
        assert trial is not None
        self._progress.say(f"Taking release {trial.release} back: {reason}")
        self._back(trial.release, trial.before)
        journal = seen.journal.give_up(trial.release, reason, at=self._clock.now())
        self._journals.save(journal.revert())
        self._trial = None
        if trial.before is None or trial.before == trial.release:
            raise NodeBroken(f"release {trial.release} does not serve, and there is none to go back to: {reason}")

    def _recover(self, seen: Observation) -> None:
        trial = seen.journal.trial
        assert trial is not None
        self._progress.say(f"The trial of release {trial.release} was interrupted")
        self._back(trial.release, trial.before)
        journal = seen.journal
        if trial.attempt > 1 and trial.before is not None:
            reason = "its trial was interrupted twice"
            journal = journal.give_up(trial.release, reason, at=self._clock.now())
        self._journals.save(journal.interrupt())
        self._forget_answers()

    def _back(self, release: int, before: int | None) -> None:
        """Switch first, journal after: whoever dies in between finds the trial again and does the same once more."""
        if before is None or before == release or before not in self._installation.staged():
            return
        self._move(before)
        self._refresh(before)

    def _move(self, number: int) -> None:
        self._installation.switch(number)
        # Now, because the application may read them when it starts; what goes wrong is raised once the node is at rest.
        with suppress(AgentError):
            self._follow_certificates()

    def _follow_certificates(self) -> None:
        """Once for each switch and once in each process: whoever was killed behind a switch left it to the next."""
        current = self._installation.current()
        if current is not None and current != self._placed:
            self._place()
            self._placed = current

    def _forget_answers(self) -> None:
        self._answers.clear()
        self._refused = None
        self._proof = None
        self._proven = frozenset()

    def _release(self, number: int) -> Release:
        return self._releases.get(number) or self._installation.load(number)

    def _sweep(self, seen: Observation) -> None:
        keep = {number for number in (seen.current, seen.journal.live) if number is not None}
        older = sorted(seen.staged - keep, reverse=True)[:KEPT_RELEASES]
        if seen.staged - keep - set(older):
            self._installation.sweep(frozenset(keep | set(older)))


KEPT_RELEASES = 2
"""Releases kept on disk beside the live one: to go back at once, without the store."""

_PHASES: dict[type, Phase] = {
    decisions.Stage: Phase.STAGING,
    decisions.Rehearse: Phase.REHEARSING,
    decisions.Switch: Phase.SWITCHING,
    decisions.Prove: Phase.PROVING,
    decisions.Start: Phase.STARTING,
    decisions.Revert: Phase.SWITCHING,
    decisions.Recover: Phase.SWITCHING,
}
