"""How carefully a release goes through the cluster."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Share:
    """Some of the nodes: `amount` of them, or `amount` per cent of those that are alive."""

    amount: int
    percent: bool = False

    def of(self, total: int) -> int:
        """Rounded down, but never none: a share that allows nobody would hold everything up for ever."""
        return max(1, total * self.amount // 100 if self.percent else self.amount)

    def __str__(self) -> str:
        return f"{self.amount}%" if self.percent else str(self.amount)


ONE = Share(1)

MOST = 64
"""Nodes that move at once, whatever is allowed: all write the one record, which takes some ten changes a second. More
would forestall each other, and some so often that their turn ends before they can say that they are back."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """What a rollout goes by; part of its record, so that every node goes by the same.

    max_unavailable   how many nodes may be out of service at the same time because of it
    canary            so many nodes go first, one at a time, before any others may
    max_failures      more nodes than this fail, or in the end more than serve it: the release is quarantined
    turn              how long a turn lasts at most; a node that is not back by then has lost it
    once              commands that are run once in the whole cluster before the first node serves the release
    """

    max_unavailable: Share = ONE
    canary: int = 1
    max_failures: int = 1
    slot_timeout: timedelta = timedelta(seconds=300)
    release_command: tuple[str, ...] = ()

    def at_once(self, total: int) -> int:
        """How many of so many nodes may have their turn at the same time, once the canaries have moved."""
        return min(self.max_unavailable.of(total), MOST)
