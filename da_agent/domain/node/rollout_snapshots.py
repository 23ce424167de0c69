"""What a node knows of the rollout of the newest release."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from da_agent.domain.node.observations import Cluster
from da_agent.domain.rollout import rollouts
from da_agent.domain.rollout.rollouts import Rollout


@dataclass(frozen=True, slots=True)
class RolloutSnapshot:
    """The rollout record as it was last read or written.

    fallback   the release to go to when the newest one cannot be served; none of `skip`, if another one is known
    others     how many other nodes are alive; None: not listed
    denied     why the last claim of a slot was denied; None when the node has not asked since the record changed
    """

    rollout: Rollout
    fallback: int | None
    others: int | None = None
    denied: str | None = None
    skip: frozenset[int] = frozenset()

    # ---- what happens

    def read(self, rollout: Rollout, *, patient: bool) -> "RolloutSnapshot":
        """The record was read again. While it is unchanged and the node is `patient`, a denied claim stays denied."""
        unchanged = self.rollout == rollout
        return replace(self, rollout=rollout, denied=self.denied if unchanged and patient else None)

    def changed(self, rollout: Rollout, denied: str | None = None) -> "RolloutSnapshot":
        """The node has written the record, or may not; `denied` then says why."""
        return replace(self, rollout=rollout, denied=denied)

    def counted(self, others: int) -> "RolloutSnapshot":
        """The nodes were listed."""
        return replace(self, others=others)

    def refused(self, denied: str) -> "RolloutSnapshot":
        """No claim is made, because it would be denied."""
        return replace(self, denied=denied)

    # ---- what follows

    def is_of(self, number: int, skip: frozenset[int]) -> bool:
        """Whether this is the rollout of release `number`, with a fallback that was looked for without `skip`."""
        return self.rollout.release == number and self.skip == skip

    def has_fallback_for(self, rollout: Rollout, skip: frozenset[int]) -> bool:
        """Whether the fallback holds for the record `rollout`, too, so that the older records need not be read."""
        return self.is_of(rollout.release, skip) and self.rollout.state is rollout.state

    @property
    def read_period(self) -> timedelta:
        """How long the record may be left unread."""
        return timedelta() if self.denied is not None else rollouts.read_period(self.rollout)

    def cluster(self, node: str, *, at: datetime, excluded: str | None) -> Cluster:
        """The view as `decide` needs it, at the store's time `at`. `excluded`: why the node takes no part."""
        return Cluster(node, at, self.rollout, self.fallback, self.others, self.denied, excluded)
