"""The inbox, and the release that it is or the mistakes in it."""

from datetime import datetime

from msgspec import Struct

from da_agent.domain import units
from da_agent.domain.store.inboxes import Verdict
from da_agent.views.releases import ReleaseView


class VerdictView(Struct, frozen=True, kw_only=True):
    """`release` is None when the inbox was refused because of `mistakes`."""

    release: int | None
    mistakes: tuple[str, ...]
    by: str
    at: datetime


class InboxView(Struct, frozen=True, kw_only=True):
    """`pending`: the inbox has changed since `verdict` and is not published yet."""

    pending: bool
    verdict: VerdictView | None


def of(verdict: Verdict | None, *, pending: bool) -> InboxView:
    return InboxView(pending=pending, verdict=None if verdict is None else _verdict(verdict))


def _verdict(verdict: Verdict) -> VerdictView:
    return VerdictView(release=verdict.release, mistakes=verdict.mistakes, by=verdict.by, at=verdict.at)


def lines(shape: InboxView, newest: ReleaseView | None) -> list[str]:
    verdict = shape.verdict
    if shape.pending:
        return ["Inbox: changed, and not published yet"]
    if verdict is None:
        return []
    if verdict.mistakes:
        head = f"Inbox: invalid; {verdict.by} checked it {units.time(verdict.at)}:"
        return [head, *(f"  {mistake}" for mistake in verdict.mistakes)]
    if newest is None or newest.rollback_of is None:
        return [f"Inbox: published as release {verdict.release}"]
    after = "the newest release is a rollback, and the next push starts from the inbox"
    return [f"Inbox: published as release {verdict.release}; {after}"]
