"""From the switch to a committed release, or back to the previous one."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from da_agent import ports
from da_agent.domain.config.settings import Settings
from da_agent.domain.node.node_states import NodeState
from da_agent.domain.node.observations import Observation
from da_agent.domain.node.probation_watch import ProbationWatch
from da_agent.domain.node.targets import escapes, revert_target
from da_agent.errors import AgentError, NodeBroken
from da_agent.workflows.node.prober import Prober


class Switcher:
    """Begins a probation with the switch, and ends it: commits, or goes back.

    State that must survive the process is in the node state. Everything kept here may be lost at any time.
    """

    def __init__(
        self,
        *,
        installation: ports.Installation,
        node_states: ports.NodeStates,
        web: ports.WebService,
        prober: Prober,
        clock: ports.Clock,
        progress: ports.Progress,
        settings_of: Callable[[int], Settings],
        place: Callable[[], object],
    ) -> None:
        """`settings_of` returns the settings of a staged release. `place` places the certificates of the current
        release.
        """
        self._installation = installation
        self._node_states = node_states
        self._web = web
        self._prober = prober
        self._clock = clock
        self._progress = progress
        self._settings_of = settings_of
        self._place = place
        self._placed: int | None = None

    # ---- there

    def switch(self, number: int, seen: Observation, in_time: Callable[[], bool]) -> bool:
        """Switch to release `number`; False, with the node state restored, when the slot no longer lasts long enough.

        `in_time` is called after every write that may take long, directly before the switch.
        """
        settings, began = self._settings_of(number), self._clock.elapsed()
        self._progress.say(f"Switching from release {seen.releases.current or 'none'} to release {number}")
        # The node state is written first. A process killed after this write reverts; one killed before it has changed
        # nothing.
        begun = _begun(seen, number, settings.probation)
        self._node_states.save(begun)
        if not in_time():
            self._node_states.save(seen.node_state)
            return False
        watch = ProbationWatch(begun.probation, began + settings.probation, min_healthy=settings.health.minimum)
        self._prober.begin(watch)
        self._move(number)
        self._prober.refresh(number)
        return True

    def commit(self, seen: Observation) -> None:
        """The release serves: it is the live one."""
        probation = seen.node_state.probation
        assert probation is not None
        self._node_states.save(seen.node_state.commit())
        self._prober.end()
        self._progress.say(f"Serving release {probation.release}: {seen.evidence.readiness}")

    # ---- and back

    def revert(self, seen: Observation, reason: str) -> None:
        """Go back, and reject the release. NodeBroken when there is no release to go back to."""
        probation = seen.node_state.probation
        assert probation is not None
        self._progress.say(f"Reverting release {probation.release}: {reason}")
        # Read before anything else is written to the log: the end of the log shows what went wrong.
        log = self._web.log()
        before = revert_target(seen)
        # When other nodes have quarantined the release, this node must not reject it for good.
        lasting = not seen.watch.quarantined
        rejection = seen.rejection(probation.release, reason, at=self._clock.now(), lasting=lasting, log=log)
        node_state = seen.node_state.reject(rejection)
        try:
            self._back(probation.release, before)
        except AgentError:
            # The way back is repeated until it succeeds, by this process or by the next one.
            self._prober.refuse(seen.watch, reason)
            self._node_states.save(node_state)
            raise
        self._node_states.save(node_state.revert())
        self._prober.end()
        if before is None or before == probation.release:
            raise NodeBroken(
                f"cannot serve release {probation.release}, and this node has no older release to go back to: {reason}"
            )

    def recover(self, seen: Observation) -> None:
        """Go back from a probation that another process began; the second interruption rejects the release."""
        probation = seen.node_state.probation
        assert probation is not None
        self._progress.say(f"The probation of release {probation.release} was interrupted")
        self._back(probation.release, revert_target(seen))
        node_state = seen.node_state
        if probation.attempt > 1 and probation.before is not None:
            reason = "its probation was interrupted twice"
            node_state = node_state.reject(seen.rejection(probation.release, reason, at=self._clock.now()))
        self._node_states.save(node_state.interrupt())
        self._prober.forget()

    def _back(self, release: int, before: int | None) -> None:
        """Switch first, then write the node state: a process killed in between leaves the probation in place, and the
        next process repeats the same steps.
        """
        if before is None or before == release or before not in self._installation.staged():
            return
        self._prober.end()
        self._move(before)
        self._prober.refresh(before)

    # ---- the certificates

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


def _begun(seen: Observation, number: int, lasts: timedelta) -> NodeState:
    """The node state with a probation of release `number`.

    Its deadline is for admins and for the next process. This process measures with the monotonic clock.
    """
    return seen.node_state.begin(
        number,
        until=seen.now + lasts,
        current=seen.releases.current,
        retries=seen.retries(number),
        escape=escapes(seen, number),
    )
