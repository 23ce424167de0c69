"""The steps between a rehearsed release and the switch to it."""

from da_agent.domain.node.actions import Action, Claim, Drain, Look, RunReleaseCommand, Switch, Undrain
from da_agent.domain.node.observations import Cluster, Observation
from da_agent.domain.node.stays import stay
from da_agent.domain.node.targets import escapes, is_open_head
from da_agent.domain.rollout.slots import SLACK, is_stopped


def move(seen: Observation, target: int) -> Action:
    """The next step from a rehearsed release to the switch to it."""
    cluster = seen.cluster
    if cluster is None or is_free(seen, cluster, target):
        return Switch(target)
    if cluster.denied is not None or cluster.excluded is not None:
        return stay(seen)
    release_command = target == cluster.rollout.release and cluster.rollout.release_command_is_due
    if not _has_slot(seen, cluster, target, release_command=release_command):
        # A claim may take longer than the slot lasts, so a node does not claim while it drains.
        return Undrain() if seen.web.draining else Claim(target, joining=not seen.web.running)
    if release_command:
        return Undrain() if seen.web.draining else RunReleaseCommand(target)
    if not _is_drained(seen, cluster, target):
        return Drain()
    return Look() if seen.web.draining and not seen.slot_use.looked else Switch(target)


def is_free(seen: Observation, cluster: Cluster, target: int) -> bool:
    """Whether this node needs no slot: it leaves a quarantined release, or goes from nothing to a stable release."""
    return escapes(seen, target) or (not seen.web.running and not is_open_head(cluster, target))


def _is_drained(seen: Observation, cluster: Cluster, target: int) -> bool:
    """Whether no user is disturbed by the switch. When no other node serves, telling the load balancer to stay away
    would be an outage."""
    alone = not seen.web.running or not cluster.others or target in seen.web.without_reload
    return alone or (seen.web.draining and seen.slot_use.drained)


def _has_slot(seen: Observation, cluster: Cluster, target: int, *, release_command: bool) -> bool:
    """Whether this node has a slot that is good for the next step. If not, the node claims or renews one."""
    slot = cluster.slot
    if slot is None or slot.release != target or slot.joining is seen.web.running:
        return False
    # A new claim says why the rollout is stopped.
    if is_stopped(cluster.rollout, joining=slot.joining):
        return False
    return slot.until > cluster.at + SLACK and (release_command or seen.slot_use.allows(target, seen.elapsed))
