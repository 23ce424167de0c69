"""What shows that a store is not what it was: its mount is gone, or it has lost releases."""

from collections.abc import Iterable
from dataclasses import dataclass

from da_agent.domain.node.reports import Report
from da_agent.domain.release import numbering


@dataclass(frozen=True, slots=True)
class Used:
    """The store that this machine used last, by its URL: its identity, and its newest release then."""

    url: str
    identity: str
    release: int


def behind_node(name: str, head: int | None, live: int | None) -> str | None:
    """Why the store `name` with the newest release `head` cannot be this node's, which serves release `live`; None: it
    can."""
    if live is None or (head is not None and head >= live):
        return None
    return (
        f"{name} has {_releases(head)}, but this node has served release {live}. Mount the store, or correct its name"
    )


def behind_reports(name: str, head: int | None, reports: Iterable[Report]) -> str | None:
    """Why the store has lost releases: a node reports one that is not in it; None: it has not."""
    believable = (each for each in reports if numbering.is_next(head or 0, each.release or 0))
    newest = max(believable, key=lambda each: each.release or 0, default=None)
    if newest is None or (newest.release or 0) <= (head or 0):
        return None
    return (
        f"cannot use {name}: it has {_releases(head)}, but {newest.node} reports release {newest.release}."
        " Mount the store again or put back its folder .agent/releases; to start over, remove its folder .agent;"
        f" if the report is wrong, remove .agent/nodes/{newest.node}.json"
    )


def behind_use(name: str, head: int | None, identity: str, used: Used | None, place: str) -> str | None:
    """Why the store is not the one that this machine used: another file system is there, with fewer releases.

    None when it is the same store. A folder that was emptied in place counts as the same: it may be filled again.
    `place` is the file that keeps `used`.
    """
    if used is None or used.identity == identity or (head or 0) >= used.release:
        return None
    return (
        f"cannot use {name}: it has {_releases(head)} and is {identity}, but with release {used.release} it was"
        f" {used.identity}. Mount the store again; to start over in this one, rm {place}"
    )


def _releases(head: int | None) -> str:
    return "no release" if head is None else f"releases up to {head}"
