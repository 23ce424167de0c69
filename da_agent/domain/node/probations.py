"""The next step of a node whose release is in probation."""

from da_agent.domain.node.actions import Action, Check, Commit, Probe, Recover, Revert, Start
from da_agent.domain.node.node_states import Probation
from da_agent.domain.node.observations import Observation


def in_probation(seen: Observation, probation: Probation) -> Action:
    """The next step until the probation is committed or reverted."""
    evidence = seen.evidence
    if not seen.conducts:
        return Recover()
    if evidence.refused is not None:
        return Revert(evidence.refused)
    if evidence.readiness is not None:
        if evidence.readiness.broken is not None:
            return Revert(str(evidence.readiness))
        if evidence.readiness.holds:
            return _when_ready(seen, probation.release)
    if seen.watch.is_over(seen.elapsed):
        return Revert(f"not ready in time: {evidence.readiness or 'the web server did not answer'}")
    return _probe(seen, probation.release)


def _when_ready(seen: Observation, release: int) -> Action:
    """The next step when every process serves the release: the release must now be healthy for `min_healthy`.

    A release that is healthy at its deadline is still watched for the short rest of `min_healthy`.
    """
    watch, now = seen.watch, seen.elapsed
    if watch.is_healthy(now):
        return Commit()
    is_over = watch.is_health_over if seen.has_ready_workers else watch.is_over
    if watch.healthy_since is None and is_over(now):
        return Revert(watch.failing_check or "not healthy in time")
    # Without ready workers, one of them died and another process replaced it.
    return Check(release) if seen.has_ready_workers else _probe(seen, release)


def _probe(seen: Observation, release: int) -> Action:
    return Probe(release) if seen.web.running else Start()
