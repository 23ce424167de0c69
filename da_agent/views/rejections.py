"""Releases that one node tried and rejected."""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from da_agent.domain.display import rollout_text
from da_agent.domain.node.node_states import Rejection


class RejectionView(Struct, frozen=True, kw_only=True):
    """`lasting` is False when the node tries the release again after a while. `log` is the end of the server's log."""

    release: int
    reason: str
    at: datetime
    lasting: bool
    log: tuple[str, ...]


def of(rejections: Iterable[Rejection]) -> tuple[RejectionView, ...]:
    return tuple(map(_rejection, rejections))


def _rejection(rejection: Rejection) -> RejectionView:
    return RejectionView(
        release=rejection.release,
        reason=rejection.reason,
        at=rejection.at,
        lasting=rejection.lasting,
        log=rollout_text.masked(rejection.log),
    )


def line(shape: RejectionView) -> str:
    return str(Rejection(shape.release, shape.reason, shape.at, lasting=shape.lasting))
