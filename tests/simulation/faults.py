"""What happens to a cluster in virtual time, and when."""

import random
from collections.abc import Generator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TypeVar

from da_agent.domain.config.strategies import Share, Strategy

T = TypeVar("T")
Steps = Generator[float, None, T]
"""A process: it yields the seconds until its next effect, and may be dropped at any of them."""

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
POLL, HEARTBEAT, PATIENCE = 10.0, 30.0, 100.0
START = timedelta(seconds=20)
MIN_HEALTHY = timedelta(seconds=2)
POLICY = Strategy(Share(1), canary=1, max_failures=1, slot_timeout=timedelta(seconds=60))


class Quality(Enum):
    """What is wrong with a release, unknown to the nodes."""

    GOOD = "good"
    UNFIT = "fails its rehearsal"
    BROKEN = "cannot be loaded"
    HANGING = "never answers"
    ILL = "fails its health check"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that happens at a moment to a node (by index; others ignore it), for some seconds."""

    at: float
    kind: str
    node: int = 0
    seconds: float = 0.0
    quality: Quality = Quality.GOOD


class StoreFailed(Exception):
    """No answer: a write may or may not have happened."""


class NodeFailed(Exception):
    """The machine is at fault, not the release."""


class Violation(AssertionError):
    """An invariant does not hold; says which, when and where."""


A_MOVER_DIES = (
    Fault(0.1, "incident", 1),
    Fault(0.5, "push"),
    Fault(25, "pause", seconds=250),
    Fault(60, "gone", 0),
)
"""The first of two moves and dies, and long after that the second one fails."""

KINDS = (
    *("push", "kill", "power", "gone", "hang", "cut", "store"),
    *("lose", "crash", "incident", "join", "pause", "retry"),
)
TROUBLES = ("full", "stall", "outage", "slow", "stop")
SHARES = (Share(1), Share(1), Share(2), Share(50, percent=True))


def faults_of(seed: int) -> list[Fault]:
    """A push and some faults around it, the same for the same seed."""
    chance = random.Random(seed)
    faults = [Fault(0.5, "push", quality=chance.choice(list(Quality)))]
    for _ in range(chance.randint(0, 8)):
        seconds = chance.choice([0, 1, 5, 30, 90, 200])
        quality = chance.choice(list(Quality))
        faults.append(Fault(chance.uniform(0, 120), chance.choice(KINDS), chance.randint(0, 5), seconds, quality))
    return faults


def troubles_of(seed: int) -> list[Fault]:
    """In some of the schedules: full disks, machines that stand still in the worst moment, a store that is away for so
    long that everybody's report is old."""
    chance = random.Random(f"troubles {seed}")
    return [
        Fault(chance.uniform(0, 40), chance.choice(TROUBLES), chance.randint(0, 5), chance.choice([30, 90, 200]))
        for _ in range(chance.choice([0, 0, 0, 1, 2, 5]))
    ]


def policy_of(seed: int) -> Strategy:
    chance = random.Random(-1 - seed)
    return replace(
        POLICY,
        max_unavailable=chance.choice(SHARES),
        canary=chance.choice([0, 1, 1, 2]),
        max_failures=chance.choice([0, 1, 1, 2]),
        release_command=chance.choice([(), ("create_tables",)]),
    )
