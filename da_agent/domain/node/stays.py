"""The next step of a node that stays on its current release."""

from da_agent.domain.node.actions import Accept, Action, Idle, Probe, Start, Undrain
from da_agent.domain.node.observations import Observation
from da_agent.domain.node.record_entries import missing_entry


def stay(seen: Observation) -> Action:
    """Serve the current release without draining; then write what is missing in the rollout record."""
    if seen.web.draining:
        return Undrain()
    kept = _keep_serving(seen)
    return missing_entry(seen, seen.cluster) if isinstance(kept, Idle) and seen.cluster is not None else kept


def _keep_serving(seen: Observation) -> Action:
    current = seen.releases.current
    if current is None:
        return Idle()
    if not seen.web.running:
        return Start()
    if not seen.has_ready_workers:
        return Probe(current)
    return Idle() if seen.node_state.live == current else Accept(current)
