"""Records of a rollout over four nodes, and what nodes make of them."""

from datetime import UTC, datetime, timedelta

from da_agent.domain.config.strategies import Strategy
from da_agent.domain.rollout import rollouts, slots, verdicts
from da_agent.domain.rollout.rollouts import Denied, Note, Rollout

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LIVE = ("web-1", "web-2", "web-3", "web-4")
OPEN = rollouts.opened(7, Strategy(), (), now=NOW)
ONCE = rollouts.opened(7, Strategy(release_command=("create_tables",)), (), now=NOW)
LATER = NOW + timedelta(seconds=400)
ADMIN = Note("admin", NOW, "maintenance")


def claim(
    rollout: Rollout, node: str, *, now: datetime = NOW, target: int = 7, joining: bool = False
) -> Rollout | Denied:
    return slots.claim(rollout, node, target, LIVE, now=now, reason="update", joining=joining)


def granted(made: Rollout | Denied) -> Rollout:
    assert isinstance(made, Rollout), made
    return made


def reason(made: Rollout | Denied) -> str:
    assert isinstance(made, Denied), made
    return made.reason


def updated(rollout: Rollout, *nodes: str) -> Rollout:
    for node in nodes:
        rollout = verdicts.updated(rollout, node, LIVE, now=NOW)
    return rollout


def failed(rollout: Rollout, *nodes: str) -> Rollout:
    for node in nodes:
        rollout = verdicts.failed(rollout, node, "it answers 500", ("a line",), LIVE, now=NOW)
    return rollout


def reported_unhealthy(rollout: Rollout, *nodes: str, now: datetime = NOW) -> Rollout:
    for node in nodes:
        rollout = verdicts.reported_unhealthy(rollout, node, "the disk is full", LIVE, now=now)
    return rollout
