"""Rollout strategies: how many nodes update at once, and how many may fail."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Share:
    """A number of nodes: `amount`, or `amount` per cent of the live nodes."""

    amount: int
    percent: bool = False

    def of(self, total: int) -> int:
        """The number of nodes out of `total`, rounded down, but at least 1: with 0 no rollout would ever proceed."""
        return max(1, total * self.amount // 100 if self.percent else self.amount)

    def __str__(self) -> str:
        return f"{self.amount}%" if self.percent else str(self.amount)


ONE = Share(1)

MOST = 64
"""The most nodes that update at once, whatever the strategy allows.

All of them write the one rollout record, which takes about ten changes a second. More nodes would cause so many write
conflicts that some slots would expire before their nodes could report back.
"""


@dataclass(frozen=True, slots=True)
class Strategy:
    """The rules of a rollout. They are part of its record, so every node follows the same rules.

    max_unavailable   how many nodes the rollout may take out of service at the same time
    canary            how many nodes update first, one at a time, before the others
    max_failures      the release is quarantined when more nodes than this fail, or when at the end more live nodes
                      have failed than serve it
    slot_timeout      how long a slot lasts at most; a node that has not reported back by then loses it
    release_command   commands that run once in the whole cluster before the first node serves the release
    """

    max_unavailable: Share = ONE
    canary: int = 1
    max_failures: int = 1
    slot_timeout: timedelta = timedelta(seconds=300)
    release_command: tuple[str, ...] = ()

    def at_once(self, total: int) -> int:
        """How many of `total` nodes may have a slot at the same time, once the canaries are updated."""
        return min(self.max_unavailable.of(total), MOST)
