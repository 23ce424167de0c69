"""Releases that one node tried and rejected."""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from da_agent.domain.display import rollout_text
from da_agent.domain.node.node_states import Rejection


class RejectionView(Struct, frozen=True, kw_only=True):
    """`lasting` is False when the node tries the release again after a while."""

    release: int
    reason: str
    at: datetime
    lasting: bool


class LoggedRejectionView(RejectionView, frozen=True, kw_only=True):
    """`log` is the end of the server's log, masked. For all nodes of a large cluster, masking would take seconds."""

    log: tuple[str, ...]


def of(rejections: Iterable[Rejection]) -> tuple[RejectionView, ...]:
    return tuple(
        RejectionView(release=each.release, reason=each.reason, at=each.at, lasting=each.lasting) for each in rejections
    )


def with_logs(rejections: Iterable[Rejection]) -> tuple[LoggedRejectionView, ...]:
    return tuple(map(_with_log, rejections))


def _with_log(rejection: Rejection) -> LoggedRejectionView:
    return LoggedRejectionView(
        release=rejection.release,
        reason=rejection.reason,
        at=rejection.at,
        lasting=rejection.lasting,
        log=rollout_text.masked(rejection.log),
    )


def line(shape: RejectionView) -> str:
    return str(Rejection(shape.release, shape.reason, shape.at, lasting=shape.lasting))
