"""From any state of this node to the release it should serve: observe, decide, act."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from da_agent import ports
from da_agent.domain.node import actions, decisions, garbage, targets
from da_agent.domain.node.actions import Move, Prepare, Serve, Tell
from da_agent.domain.node.node_states import NodeState
from da_agent.domain.node.observations import Observation, Releases, WebServer
from da_agent.domain.node.reports import Phase
from da_agent.domain.release.releases import Release
from da_agent.errors import AgentError, NodeBroken, Stopped
from da_agent.workflows.node.mover import Mover
from da_agent.workflows.node.preparer import Preparer
from da_agent.workflows.node.prober import Prober
from da_agent.workflows.node.record_writer import RecordWriter
from da_agent.workflows.node.rollout_client import RolloutClient
from da_agent.workflows.node.switcher import Switcher


class Converger:
    """The loop of one node, until the node is idle or the store must be read again.

    State that must survive the process is in the node state and on the disk. What its parts keep between two actions is
    part of the observation, and may be lost at any time.
    """

    def __init__(
        self,
        *,
        installation: ports.Installation,
        node_states: ports.NodeStates,
        web: ports.WebService,
        workers: ports.Workers,
        traffic: ports.Traffic,
        preparer: Preparer,
        mover: Mover,
        prober: Prober,
        switcher: Switcher,
        record_writer: RecordWriter,
        rollout_client: RolloutClient,
        clock: ports.Clock,
    ) -> None:
        self._installation = installation
        self._node_states = node_states
        self._web = web
        self._workers = workers
        self._traffic = traffic
        self._preparer = preparer
        self._mover = mover
        self._prober = prober
        self._switcher = switcher
        self._record_writer = record_writer
        self._rollout_client = rollout_client
        self._clock = clock
        self.phase = Phase.STARTING
        self.waiting: str | None = None
        self.hands_back = False
        """True when `converge` ended before the node was idle: the store is read again first."""

    # ---- observe

    def offer(self, *releases: Release) -> None:
        """Set the releases of the ledger that may be taken, as the store has just returned them."""
        self._preparer.offer(*releases)

    def node_state(self) -> NodeState:
        """The saved state of the node. Without one, the release on disk counts as stable for lack of other evidence."""
        found = self._node_states.load()
        if found is None:
            found = NodeState(live=self._installation.current())
            self._node_states.save(found)
        return found

    def inspect(self) -> str | None:
        """Remove what an interrupted process has left, and verify the live release on disk. Runs once at start.

        Returns what is wrong with the live release, or None. A damaged release that is not being served is staged
        again.
        """
        self._installation.sweep(self._installation.staged())
        with suppress(AgentError):
            # The drain that this node began when it left in order ends before the node serves again.
            if not self._web.running() and self.node_state().probation is None:
                self._mover.end_drain()
        current = self._installation.current()
        return None if current is None else self._preparer.inspect(current)

    def forget_rejections(self) -> None:
        """Forget the releases that this node rejected: an admin wants them tried again."""
        self._node_states.save(replace(self.node_state(), rejected=(), interrupted=None))

    def observe(self) -> Observation:
        current, preparations = self._installation.current(), self._preparer.preparations
        staged = self._installation.staged() - preparations.damaged
        return Observation(
            now=self._clock.now(),
            elapsed=self._clock.elapsed(),
            node_state=self.node_state(),
            cluster=self._rollout_client.cluster,
            releases=Releases(self._preparer.offered, staged, current),
            web=self._observe_web(preparations.rehearsed - {current}),
            preparations=preparations,
            slot_use=self._mover.slot_use,
            evidence=self._prober.evidence,
            watch=self._prober.watch,
            health=self._record_writer.health,
        )

    def _observe_web(self, others: frozenset[int]) -> WebServer:
        """The web server, and which of the `others` could replace the current release without touching a worker."""
        running = self._web.running()
        return WebServer(
            running=running,
            workers=self._workers.workers() if running else frozenset(),
            draining=self._traffic.draining(),
            without_reload=frozenset(number for number in others if self._web.needs_no_reload(number)),
        )

    def is_on_bad(self) -> bool:
        """True when the current release, or the one a probation would revert to, is known to be quarantined."""
        return targets.is_on_bad(self.observe())

    def skipped(self) -> frozenset[int]:
        """The releases that this node must not fall back to. Asks the store only for the time, and the web server for
        nothing.
        """
        node_state = self.node_state()
        if not node_state.rejected:
            return frozenset()
        now, releases = self._clock.now(), Releases(current=self._installation.current())
        return targets.skipped(Observation(now, node_state, cluster=self._rollout_client.cluster, releases=releases))

    # ---- the loop

    def converge(self, phase_changed: Callable[[], None] = lambda: None) -> None:
        """Act until there is nothing left to do; `phase_changed` is called after every change of the phase.

        Returns early, and sets `hands_back` and `waiting`, in two cases: the node has rejected a release and has
        nothing to serve, or it has done `decisions.MOST_ACTIONS`. The store may offer something better by then.

        A release that fails is rejected, and the next best is taken. Errors that are not the release's fault are
        raised: NodeBroken, Unreachable, Forbidden.
        """
        self._mover.resume()
        self._record_writer.resume()
        self.hands_back = False
        try:
            self._converge(phase_changed)
        except AgentError as error:
            self._let_others_continue(error)
            raise
        except (Stopped, KeyboardInterrupt):
            self.leave()
            raise

    def _converge(self, phase_changed: Callable[[], None]) -> None:
        self._web.prepare()
        acted = 0
        while True:
            seen = self.observe()
            action = decisions.decide(seen)
            if isinstance(action, actions.Idle):
                self._become_idle(action, seen, phase_changed)
                return
            phase = PHASES.get(type(action), self.phase)
            if phase is not self.phase:
                self.phase = phase
                phase_changed()
            self._act(action, seen)
            acted += not isinstance(action, decisions.WAITS)
            reason = decisions.reason_to_read_store(seen.node_state, self.node_state(), acted)
            if reason is not None:
                self.waiting, self.hands_back = reason, True
                return

    def _become_idle(self, action: actions.Idle, seen: Observation, phase_changed: Callable[[], None]) -> None:
        self._sweep(seen)
        self._record_writer.idle()
        self.waiting = action.waiting
        self.phase = Phase.SERVING if seen.web.running else Phase.STOPPED
        phase_changed()
        # Raises on every cycle while other programs lack the new certificates; the node serves all the same.
        self._switcher.follow_certificates()

    def _sweep(self, seen: Observation) -> None:
        staged = seen.releases.staged
        keep = garbage.kept_here(staged, seen.releases.current, seen.node_state)
        if staged - keep:
            self._installation.sweep(keep)

    def _act(self, action: Prepare | Move | Serve | Tell, seen: Observation) -> None:
        match action:
            case actions.Stage() | actions.Rehearse() | actions.RunReleaseCommand():
                self._preparer.prepare(action, seen)
            case actions.Claim() | actions.Drain() | actions.Undrain() | actions.Look() | actions.Switch():
                self._mover.move(action, seen)
            case actions.Start():
                self._prober.start()
            case actions.Probe(number):
                self._prober.probe(number, seen)
            case actions.Check(number) if seen.node_state.probation is None:
                self._record_writer.check_live(number, seen)
            case actions.Check(number):
                self._prober.check(number, seen)
            case actions.Commit():
                self._switcher.commit(seen)
            case actions.Revert(reason):
                self._switcher.revert(seen, reason)
            case actions.Recover():
                self._switcher.recover(seen)
            case actions.Accept(number):
                self._node_states.save(seen.node_state.accept(number))
            case _:
                self._record_writer.tell(action, seen)

    # ---- when this node cannot go on

    def _let_others_continue(self, error: AgentError) -> None:
        """Handle an error that stops this node from using its slot: end the drain, and let the other nodes go on."""
        with suppress(AgentError):
            if self.node_state().probation is None:
                self._mover.end_drain()
        if isinstance(error, NodeBroken):
            self._record_writer.tell_broken(str(error))

    def leave(self) -> None:
        """The process ends: end the drain and give the slot back, because no agent is left to do it later.

        A release on probation stays as it is; the next process reverts it.
        """
        with suppress(AgentError):
            if self.node_state().probation is None:
                self._mover.end_drain()
                self._rollout_client.leave()


PHASES: dict[type, Phase] = {
    actions.Stage: Phase.STAGING,
    actions.Rehearse: Phase.REHEARSING,
    actions.Switch: Phase.SWITCHING,
    actions.Claim: Phase.SERVING,
    actions.Drain: Phase.DRAINING,
    actions.Probe: Phase.PROBATION,
    actions.Check: Phase.PROBATION,
    actions.Start: Phase.STARTING,
    actions.Revert: Phase.SWITCHING,
    actions.Recover: Phase.SWITCHING,
}
