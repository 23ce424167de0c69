"""The shape of a strategy, as the record of a rollout contains it."""

from datetime import timedelta

from da_agent.domain import limits
from da_agent.domain.config.strategies import Share, Strategy
from da_agent.domain.records.shapes import Count, Fields


class ShareShape(Fields, frozen=True):
    amount: Count
    percent: bool


class StrategyShape(Fields, frozen=True):
    """`slot_timeout` is an ISO 8601 duration, `release_command` the commands in their order."""

    max_unavailable: ShareShape
    canary: Count
    max_failures: Count
    slot_timeout: timedelta
    release_command: list[str]

    def __post_init__(self) -> None:
        if not timedelta() < self.slot_timeout <= limits.SLOT:
            raise ValueError(f"`slot_timeout` is not longer than 0 s, or longer than {limits.SLOT.seconds} s")


def to_wire(strategy: Strategy) -> StrategyShape:
    return StrategyShape(
        max_unavailable=ShareShape(strategy.max_unavailable.amount, strategy.max_unavailable.percent),
        canary=strategy.canary,
        max_failures=strategy.max_failures,
        slot_timeout=strategy.slot_timeout,
        release_command=list(strategy.release_command),
    )


def from_wire(shape: StrategyShape) -> Strategy:
    return Strategy(
        max_unavailable=Share(shape.max_unavailable.amount, percent=shape.max_unavailable.percent),
        canary=shape.canary,
        max_failures=shape.max_failures,
        slot_timeout=shape.slot_timeout,
        release_command=tuple(shape.release_command),
    )
