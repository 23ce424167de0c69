"""From any state of this node to the release it should serve: observe, decide, act."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import assert_never

from da_agent import ports
from da_agent.domain.config import redaction
from da_agent.domain.config.settings import Settings
from da_agent.domain.node import actions, decisions, garbage
from da_agent.domain.node.actions import Move, Step, Tell
from da_agent.domain.node.decisions import Observation
from da_agent.domain.node.node_states import NodeState
from da_agent.domain.node.reports import Phase
from da_agent.domain.release.releases import Release
from da_agent.domain.rollout import drains, rollouts, slots
from da_agent.domain.rollout.slots import SLACK
from da_agent.errors import AgentError, Corrupt, NodeBroken, NotFound, ReleaseBroken, Stopped, StoreDamaged
from da_agent.workflows.node.rollout_client import RolloutClient
from da_agent.workflows.node.switcher import ASK_AGAIN, Switcher, failure


class Converger:
    """Converges one node: what this process has found out since it began, and how to do each action.

    State that must survive the process is in the node state and on the disk. Everything kept here may be lost at any
    time.
    """

    def __init__(
        self,
        *,
        installation: ports.Installation,
        node_states: ports.NodeStates,
        transfers: ports.Transfers,
        web: ports.WebService,
        workers: ports.Workers,
        traffic: ports.Traffic,
        commands: ports.Commands,
        switcher: Switcher,
        rollout_client: RolloutClient,
        clock: ports.Clock,
        progress: ports.Progress,
        settings: Callable[[Release], Settings],
    ) -> None:
        self._installation = installation
        self._node_states = node_states
        self._transfers = transfers
        self._web = web
        self._workers = workers
        self._traffic = traffic
        self._commands = commands
        self._switcher = switcher
        self._rollout_client = rollout_client
        self._clock = clock
        self._progress = progress
        self._settings = settings
        self._releases: dict[int, Release] = {}
        self._damaged: set[int] = set()
        self._rehearsed: set[int] = set()
        self._drained = self._looked = False
        self._begun: int | None = None
        self._claims = 0
        self._good_until = timedelta()
        self._unhealthy: str | None = None
        self._well: int | None = None
        self.phase = Phase.STARTING
        self.waiting: str | None = None
        self.hands_back = False
        """True when `converge` ended before the node was idle: the store is read again first."""

    # ---- observe

    def offer(self, *releases: Release) -> None:
        """Set the releases of the ledger that may be taken, as the store has just returned them."""
        self._releases = {release.number: release for release in releases}

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
        self._return()
        current = self._installation.current()
        if current is None:
            return None
        try:
            self._installation.verify(current)
        except (Corrupt, NotFound) as damage:
            # Never replaced under processes that serve it: a damaged release is better than half of one.
            if not self._web.running():
                self._damaged.add(current)
            return str(damage)
        return None

    def _return(self) -> None:
        """End the drain that this node started when it left in order, before the node serves again."""
        with suppress(AgentError):
            if self._traffic.draining() and self.node_state().probation is None and not self._web.running():
                self._undrain()

    def forget_rejections(self) -> None:
        """Forget the releases that this node rejected: an admin wants them tried again."""
        self._node_states.save(replace(self.node_state(), rejected=(), interrupted=None))

    def observe(self) -> Observation:
        running = self._web.running()
        node_state, current = self.node_state(), self._installation.current()
        return Observation(
            now=self._clock.now(),
            cluster=self._rollout_client.cluster,
            offered=tuple(sorted(self._releases, reverse=True)),
            current=current,
            node_state=node_state,
            staged=self._installation.staged() - self._damaged,
            rehearsed=frozenset(self._rehearsed),
            without_reload=self._without_reload(current),
            conducting=self._switcher.conducts(node_state),
            running=running,
            workers=self._workers.workers() if running else frozenset(),
            ready_workers=self._switcher.ready_workers,
            readiness=self._switcher.readiness,
            refused=self._switcher.refused,
            left=self._switcher.left,
            health_left=self._switcher.health_left,
            asked_late=self._switcher.asked_late,
            checked_late=self._switcher.checked_late,
            healthy_for=self._switcher.healthy_for,
            failing_check=self._switcher.failing_check,
            min_healthy=self._switcher.min_healthy,
            draining=self._traffic.draining(),
            drained=self._drained,
            looked=self._looked,
            begun=self._begun if self._is_good() else None,
            unhealthy=self._unhealthy,
            well=self._well,
        )

    def is_on_bad(self) -> bool:
        """True when the current release, or the one a probation would revert to, is known to be quarantined."""
        return decisions.is_on_bad(self.observe())

    def skipped(self) -> frozenset[int]:
        """The releases that this node must not fall back to. Asks the store only for the time, and the web server for
        nothing.
        """
        node_state = self.node_state()
        if not node_state.rejected:
            return frozenset()
        now, current, cluster = self._clock.now(), self._installation.current(), self._rollout_client.cluster
        return decisions.skipped(Observation(now, (), current, node_state, cluster))

    def _without_reload(self, current: int | None) -> frozenset[int]:
        """The staged releases that could replace the current one without touching a worker process."""
        others = self._rehearsed - {current}
        return frozenset(number for number in others if self._web.needs_no_reload(number))

    # ---- act

    def converge(self, told: Callable[[], None] = lambda: None) -> None:
        """Act until there is nothing left to do; `told` is called after every change of the phase.

        Returns early, and sets `hands_back` and `waiting`, in two cases: the node has rejected a release and has
        nothing to serve, or it has done MOST_ACTIONS. The store may offer something better by then.

        A release that fails is rejected, and the next best is taken. Errors that are not the release's fault are
        raised: NodeBroken, Unreachable, Forbidden.
        """
        # An earlier slot may have ended, and an earlier health check may be outdated: both are asked for anew.
        self._begun = self._well = None
        self._claims = 0
        self.hands_back = False
        try:
            self._converge(told)
        except AgentError as error:
            self._let_come(error)
            raise
        except (Stopped, KeyboardInterrupt):
            self.leave()
            raise

    def _converge(self, told: Callable[[], None]) -> None:
        self._web.prepare()
        acted = 0
        while True:
            seen = self.observe()
            action = decisions.decide(seen)
            if isinstance(action, actions.Idle):
                self._rest(action, seen, told)
                return
            phase = PHASES.get(type(action), self.phase)
            if phase is not self.phase:
                self.phase = phase
                told()
            self._act(action, seen)
            acted += not isinstance(action, WAITS)
            if self._is_to_ask(seen.node_state, acted):
                return

    def _is_to_ask(self, before: NodeState, acted: int) -> bool:
        """True when the store must be read again before the next action. A probation always continues to its end."""
        node_state = self.node_state()
        if node_state.probation is not None:
            return False
        new = next((each for each in node_state.rejected if each not in before.rejected), None)
        if new is not None and node_state.live is None:
            self.waiting = f"release {new.release} is rejected here; looking for another release"
        elif acted >= MOST_ACTIONS:
            self.waiting = f"not at rest after {acted} actions; looking at the store again"
        else:
            return False
        self.hands_back = True
        return True

    def _let_come(self, error: AgentError) -> None:
        """Handle an error that stops this node from using its slot: end the drain, and let the other nodes go on."""
        if isinstance(error, NodeBroken):
            self._unhealthy = str(error)
        with suppress(AgentError):
            if self._traffic.draining() and self.node_state().probation is None:
                self._undrain()
        if isinstance(error, NodeBroken):
            with suppress(AgentError):
                self._excuse(str(error))

    def _excuse(self, reason: str) -> None:
        """Report this node as unhealthy, unless it is in a probation that can revert.

        What breaks right after a switch may be the release's fault. The other nodes would then take the release without
        this node's verdict.
        """
        probation, cluster = self.node_state().probation, self._rollout_client.cluster
        leads_back = probation is not None and probation.before is not None
        if cluster is not None and not leads_back and not decisions.is_excused(cluster):
            self._rollout_client.tell_unhealthy(reason)

    def leave(self) -> None:
        """The process ends: end the drain and give the slot back, because no agent is left to do it later.

        A release on probation stays as it is; the next process reverts it.
        """
        with suppress(AgentError):
            if self.node_state().probation is None:
                if self._traffic.draining():
                    self._undrain()
                self._rollout_client.leave()

    def _rest(self, action: actions.Idle, seen: Observation, told: Callable[[], None]) -> None:
        self._sweep(seen)
        self._unhealthy = None
        self.waiting = action.waiting
        self.phase = Phase.SERVING if seen.running else Phase.STOPPED
        told()
        # Raises on every cycle while other programs lack the new certificates; the node serves all the same.
        self._switcher.follow_certificates()

    def _act(self, action: Step | Move | Tell, seen: Observation) -> None:
        match action:
            case actions.Stage(number):
                self._try(number, seen, self._stage)
            case actions.Rehearse(number):
                self._try(number, seen, self._rehearse)
            case actions.Start():
                self._switcher.start()
            case actions.Probe(number):
                self._switcher.probe(number, seen)
            case actions.Check(number) if seen.node_state.probation is None:
                self._bear_witness(number, seen)
            case actions.Check(number):
                self._switcher.check(number, seen)
            case actions.Commit():
                self._switcher.commit(seen)
            case actions.Revert(reason):
                self._switcher.revert(seen, reason)
            case actions.Recover():
                self._switcher.recover(seen)
            case actions.Accept(number):
                self._node_states.save(seen.node_state.accept(number))
            case _:
                self._move(action, seen)

    def _move(self, action: Move | Tell, seen: Observation) -> None:
        match action:
            case actions.Claim(number, joining):
                self._claim(number, joining=joining)
            case actions.RunReleaseCommand(number):
                self._try(number, seen, self._run_release_command)
            case actions.Drain():
                self._drain(seen)
            case actions.Undrain():
                self._undrain()
            case actions.Look():
                self._rollout_client.look_again()
                self._looked = True
            case actions.Switch(number):
                self._switch(number, seen)
            case _:
                self._tell(action, seen)

    def _tell(self, action: Tell, seen: Observation) -> None:
        match action:
            case actions.TellUpdated():
                self._rollout_client.tell_updated()
            case actions.TellFailed(reason):
                assert seen.cluster is not None
                known = seen.node_state.rejection(seen.cluster.rollout.release)
                self._rollout_client.tell_failed(reason, known.log if known is not None else ())
            case actions.TellUnhealthy(reason):
                self._rollout_client.tell_unhealthy(reason)
                # Reported once: the next action shows whether the node is still unhealthy.
                self._unhealthy = None
            case actions.GiveBack():
                self._rollout_client.give_back()
            case actions.Review():
                self._rollout_client.review()
            case _:
                assert_never(action)

    def _bear_witness(self, number: int, seen: Observation) -> None:
        """Check this node on the old release `number`: only a healthy node may report a failure of the new one.

        NodeBroken when this node is unhealthy; the new release is then excused.
        """
        complaint = self._switcher.unwell(number)
        if complaint is None:
            self._well = number
            return
        assert seen.cluster is not None
        # The node state is written first: a process killed after this write reports no failure, and tries the release
        # again.
        self._node_states.save(seen.node_state.excuse(seen.cluster.rollout.release, at=self._clock.now()))
        raise NodeBroken(f"this node is unhealthy on release {number}, too: {complaint}")

    # ---- before the switch

    def _try(self, number: int, seen: Observation, work: Callable[[Release], None]) -> None:
        """Do `work`, which may show that the release is bad. The node then rejects it and keeps the live one."""
        release = self._release(number)
        try:
            work(release)
        except (ReleaseBroken, StoreDamaged) as fault:
            lasting, log = isinstance(fault, ReleaseBroken), fault.log if isinstance(fault, ReleaseBroken) else ()
            self._progress.say(f"Release {number} {'is given up' if lasting else 'cannot be taken yet'}: {fault}")
            rejection = failure(seen, number, str(fault), at=self._clock.now(), lasting=lasting, log=log)
            self._node_states.save(self.node_state().reject(rejection))

    def _stage(self, release: Release) -> None:
        self._installation.require_room(release)
        with self._progress.step(f"Staging release {release.number}"):
            self._transfers.fetch(release.contents.blobs())
            try:
                self._installation.stage(release, self._settings(release))
            except Corrupt as damage:
                # The node's local copies were corrupt. They have been dropped, and are fetched again.
                self._progress.say(str(damage))
                self._transfers.fetch(release.contents.blobs())
                self._installation.stage(release, self._settings(release))
        self._damaged.discard(release.number)

    def _rehearse(self, release: Release) -> None:
        with self._progress.step(f"Rehearsing release {release.number}"):
            self._web.rehearse(release.number)
        self._rehearsed.add(release.number)

    def _run_release_command(self, release: Release) -> None:
        """Run the release commands, unless another node does. ReleaseBroken, with the command and the end of its
        output, when one fails: no node should serve that release.
        """
        cluster = self._rollout_client.cluster
        if cluster is None or not self._rollout_client.take_release_command():
            return
        output: list[str] = []
        ends = self._clock.now() + cluster.rollout.strategy.slot_timeout - SLACK
        for command in cluster.rollout.strategy.release_command:
            self._progress.say(f"Once in the cluster for release {release.number}: {redaction.command(command)}")
            ended = self._commands.run(release.number, command, max(ends - self._clock.now(), timedelta(seconds=1)))
            output += map(redaction.masked, ended.lines)
            if ended.failure is not None:
                raise ReleaseBroken(
                    f"{redaction.command(command)} {ended.failure}", tuple(output[-rollouts.KEPT_LINES :])
                )
        self._rollout_client.finish_release_command(tuple(output))

    def _claim(self, number: int, *, joining: bool) -> None:
        self._begun = None
        if self._claims == MOST_CLAIMS:
            raise NodeBroken(
                f"cannot switch to release {number} within a slot: this node was suspended, or the store takes too long"
                " to answer it"
            )
        made = self._rollout_client.claim(number, f"release {number}", joining=joining)
        if made is None:
            return
        self._claims += 1
        if made.begun:
            needed = self._switcher.settings_of(number).there_and_back
            self._begun, self._good_until = number, made.at + slots.time_to_switch(made.slot, needed)

    def _is_good(self) -> bool:
        """True while the slot claimed last leaves enough time for the probation and for the way back."""
        return self._clock.elapsed() < self._good_until

    def _drain(self, seen: Observation) -> None:
        """Take the node out of service; running requests may finish for as long as the settings and the slot allow."""
        patience = self._switcher.settings_of(seen.current).drain if seen.current is not None else timedelta()
        slot = seen.cluster.slot if seen.cluster is not None else None
        began = self._clock.elapsed()
        patience = min(patience, slots.time_to_drain(self._good_until - began))
        cuts = slot is not None and self._web.cuts(slot.release)
        self._traffic.drain(on=True)
        while not drains.is_over(self._traffic.active(), self._clock.elapsed() - began, patience, cuts=cuts):
            self._clock.wait(ASK_AGAIN)
        self._drained, self._looked = True, False

    def _undrain(self) -> None:
        self._traffic.drain(on=False)
        self._drained = False

    def _switch(self, number: int, seen: Observation) -> None:
        """Switch to release `number`, unless this machine was suspended since it claimed its slot.

        After a suspension other nodes may be out of service by now.
        """
        free, self._begun = seen.begun != number, None
        if not self._switcher.switch(number, seen, lambda: free or self._is_good()):
            # The record decides whether the slot may be claimed again.
            self._progress.say(f"Release {number} is not switched to: the slot was claimed too long ago")

    def _release(self, number: int) -> Release:
        return self._releases.get(number) or self._installation.load(number)

    def _sweep(self, seen: Observation) -> None:
        keep = garbage.kept_here(seen.staged, seen.current, seen.node_state)
        if seen.staged - keep:
            self._installation.sweep(keep)


MOST_ACTIONS = 100
"""How many actions a node does before it reads the store again. WAITS do not count: they end with their probation."""

WAITS = (actions.Probe, actions.Check)
"""Actions that are repeated until their time is over."""

MOST_CLAIMS = 4
"""How often a node may claim its slot before it switches.

It claims once before the release commands and once after them. It claims again when a drain takes long or the machine
was suspended. A node that needs more claims is unhealthy.
"""

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
