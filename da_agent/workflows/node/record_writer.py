"""What this node writes into the rollout record about the release and about itself."""

from contextlib import suppress
from typing import assert_never

from da_agent import ports
from da_agent.domain.node import actions
from da_agent.domain.node.actions import Tell
from da_agent.domain.node.node_health import NodeHealth
from da_agent.domain.node.observations import Observation
from da_agent.domain.node.record_entries import is_excused
from da_agent.errors import AgentError, NodeBroken
from da_agent.workflows.node.prober import Prober
from da_agent.workflows.node.rollout_client import RolloutClient


class RecordWriter:
    """Writes outcomes, and finds out first whether this node is healthy enough to speak about a release."""

    def __init__(
        self, *, node_states: ports.NodeStates, prober: Prober, rollout_client: RolloutClient, clock: ports.Clock
    ) -> None:
        self._node_states = node_states
        self._prober = prober
        self._rollout_client = rollout_client
        self._clock = clock
        self.health = NodeHealth()

    def resume(self) -> None:
        """A new run of the loop begins: an earlier health check may be outdated."""
        self.health = self.health.resumed()

    def idle(self) -> None:
        """The node is idle: it is not unhealthy any more."""
        self.health = self.health.cleared()

    def tell(self, action: Tell, seen: Observation) -> None:
        match action:
            case actions.TellUpdated():
                self._rollout_client.tell_updated()
            case actions.TellFailed(reason):
                assert seen.cluster is not None
                known = seen.node_state.rejection(seen.cluster.rollout.release)
                self._rollout_client.tell_failed(reason, known.log if known is not None else ())
            case actions.TellUnhealthy(reason):
                self._rollout_client.tell_unhealthy(reason)
                self.health = self.health.cleared()
            case actions.GiveBack():
                self._rollout_client.give_back()
            case actions.Review():
                self._rollout_client.review()
            case _:
                assert_never(action)

    def check_live(self, number: int, seen: Observation) -> None:
        """Check this node on the live release `number`: only a healthy node may report a failure of the new one.

        NodeBroken when this node is unhealthy; the new release is then tried again after a while.
        """
        failing = self._prober.failing_on_live(number)
        if failing is None:
            self.health = self.health.passed(number)
            return
        assert seen.cluster is not None
        # The node state is written first: a process killed after this write reports no failure, and tries the release
        # again.
        self._node_states.save(seen.node_state.excuse(seen.cluster.rollout.release, at=self._clock.now()))
        raise NodeBroken(f"this node is unhealthy on release {number}, too: {failing}")

    def tell_broken(self, reason: str) -> None:
        """This node itself is unhealthy. Report it, unless the others do not wait for it, or it is in a probation that
        can revert.

        What breaks right after a switch may be the release's fault. The other nodes would then take the release without
        this node's verdict.
        """
        self.health = self.health.broken(reason)
        with suppress(AgentError):
            cluster = self._rollout_client.cluster
            if cluster is not None and not self._can_revert() and not is_excused(cluster):
                self._rollout_client.tell_unhealthy(reason)

    def _can_revert(self) -> bool:
        node_state = self._node_states.load()
        probation = None if node_state is None else node_state.probation
        return probation is not None and probation.before is not None
