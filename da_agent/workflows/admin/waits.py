"""Waiting for the verdict on what was pushed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from da_agent import ports
from da_agent.domain.display import rollout_text
from da_agent.domain.node.reports import NodeStatus
from da_agent.domain.rollout import verdicts
from da_agent.domain.rollout.rollouts import Rollout, State
from da_agent.domain.store.inboxes import Verdict
from da_agent.errors import (
    Corrupt,
    Invalid,
    NodeBroken,
    NoLiveNodes,
    NotFound,
    NotHere,
    Quarantined,
    StoreDamaged,
    Superseded,
    TimedOut,
)
from da_agent.workflows.records import reports
from da_agent.workflows.records.inboxes import Inboxes
from da_agent.workflows.records.ledgers import Ledger
from da_agent.workflows.records.rollouts import Rollouts

LOOK_AGAIN = timedelta(seconds=0.5)

GONE = timedelta(minutes=5)
"""A node that has not reported for so long is not waited for. One that resolves or stages may be silent for a while."""

NAMED = 5
"""So many of the changes that a newer release has undone are named."""


def until_published(store: ports.Store, clock: ports.Clock, progress: ports.Progress, patience: timedelta) -> Verdict:
    """The verdict of some node on the inbox as it is now; NotHere when none comes in time."""
    inboxes, watch = Inboxes(store), reports.Watch(store)
    deadline = clock.now() + patience
    with progress.step("waiting for a node that adopts the inbox") as tell:
        while clock.now() < deadline:
            verdict = inboxes.verdict()
            if verdict is not None and verdict.fingerprint == inboxes.list().fingerprint:
                return verdict
            tell(_names([each for each in _alive(watch.look(), store.clock()) if each.report.activity]))
            clock.wait(LOOK_AGAIN)
    raise NotHere("no node has adopted the inbox: none is alive that can resolve packages; see da-agent status")


def pause(rollouts: Rollouts, number: int) -> str | None:
    """Why nothing happens although release `number` is there, and what to do; None when nobody has paused."""
    note = rollouts.paused(number)
    if note is None:
        return None
    return f"Nothing moves yet: the cluster is paused {rollout_text.said(note)}; da-agent resume lets the nodes go on"


@dataclass(frozen=True, slots=True)
class Arrival:
    """The release that was proven: which nodes serve it, and which do not, and why."""

    release: int
    nodes: tuple[str, ...]
    without: Mapping[str, str]


def until_stable(
    store: ports.Store,
    rollouts: Rollouts,
    clock: ports.Clock,
    progress: ports.Progress,
    number: int,
    *,
    patience: timedelta,
) -> Arrival:
    """What became of release `number`; once a newer one has come before its verdict, what became of that.

    Quarantined with the reason; Superseded when the newer one is stable and undoes this one; NodeBroken
    when every node is at fault itself; NoLiveNodes; TimedOut, naming the nodes that are behind and what they wait for.
    What was begun goes on in each case.
    """
    ledger, newest, deadline = Ledger(store), number, clock.now() + patience
    with progress.step(f"waiting for the verdict on release {number}") as tell:
        while True:
            head = ledger.head(newest) or newest
            rollout = _record(rollouts, number, head)
            if head > newest:
                progress.say(_come(number, head, rollout))
                newest = head
            if rollout is not None and rollout.state is not State.OPEN:
                return _arrival(store, rollout, number, newest)
            live = rollouts.nodes(within=GONE).lately
            if not live:
                raise NoLiveNodes(f"release {newest} is not proven: no node is alive; each will take it when it starts")
            now = store.clock()
            tell(rollout_text.progress(rollout, live, now=now))
            if rollout is not None and verdicts.is_stuck(rollout, live, now=now):
                raise NodeBroken(rollout_text.stuck(rollout))
            if clock.now() >= deadline:
                raise TimedOut(_late(newest, rollout, _alive(reports.node_statuses(store), now), now))
            clock.wait(LOOK_AGAIN)


def _record(rollouts: Rollouts, number: int, newest: int) -> Rollout | None:
    """The own record as long as it has a verdict, or may get one: what comes later does not speak for it."""
    own = rollouts.read(number)
    decided = own is not None and own.state is not State.OPEN
    return own if decided or newest == number else rollouts.read(newest)


def _come(number: int, head: int, rollout: Rollout | None) -> str:
    waits = rollout is None or rollout.release != number
    return f"Release {head} has come after release {number}{': its verdict is waited for instead' if waits else ''}"


def _arrival(store: ports.Store, rollout: Rollout, number: int, newest: int) -> Arrival:
    if rollout.state is State.QUARANTINED:
        raise Quarantined(_quarantine(rollout, number, newest))
    if rollout.release != number:
        _require_change(store, number, rollout.release)
    without = {failure.node: failure.reason for failure in rollout.failures} | {
        note.by: note.reason for note in rollout.unhealthy
    }
    return Arrival(rollout.release, tuple(sorted(rollout.updated)), without)


def _quarantine(rollout: Rollout, number: int, newest: int) -> str:
    bad = rollout.release
    after = f" (it has come after release {number})" if bad != number else ""
    if newest > bad:
        return f"{rollout_text.quarantine(rollout)}{after}; release {newest} has come after it"
    return (
        f"{rollout_text.quarantine(rollout)}{after}; the nodes go back to what was proven before, and"
        f" da-agent retry {bad} lets them try it again"
    )


def _require_change(store: ports.Store, number: int, newer: int) -> None:
    """Superseded unless release `newer`, which is proven, has what release `number` had changed."""
    # Whoever only waits need not wait for what reads YAML.
    from da_agent.domain.release import superseded
    from da_agent.workflows.records import inspections

    ledger = Ledger(store)
    try:
        mine, after = ledger.read(number), ledger.read(newer)
        before = ledger.read(number - 1).contents if number > 1 else None
        lost = superseded.undone(
            before, mine.contents, after.contents, lambda blob: inspections.blob(store, blob, None)
        )
    except (NotFound, Corrupt, StoreDamaged, Invalid) as error:
        raise Superseded(
            f"release {newer} is proven, and nobody can tell whether it has what release {number} had changed: {error}"
        ) from error
    if lost:
        back = f", a rollback to release {after.rollback_of}" if after.rollback_of is not None else ""
        raise Superseded(
            f"release {number} is not served: release {newer}{back}, by {after.publisher} ({after.reason}), has taken"
            f" its place and is proven, without its change of {', '.join(lost[:NAMED])}{' …' if lost[NAMED:] else ''}"
        )


def _late(number: int, rollout: Rollout | None, alive: list[NodeStatus], now: datetime) -> str:
    there = frozenset(rollout.updated if rollout is not None else ())
    late = [each for each in alive if each.report.node not in there]
    remedy = "; da-agent resume lets it go on" if rollout is not None and rollout.paused is not None else ""
    progress = rollout_text.progress(rollout, [each.report.node for each in alive], now=now)
    return f"release {number} is not proven yet: {progress}; not yet there: {_names(late) or 'nobody'}{remedy}"


def _alive(found: Iterable[NodeStatus], now: datetime) -> list[NodeStatus]:
    return [each for each in found if not each.silent(now, GONE)]


def _names(behind: list[NodeStatus]) -> str:
    return ", ".join(f"{each.report.node} ({rollout_text.behind(each.report)})" for each in behind)


def release_of(verdict: Verdict) -> int:
    """The release that an inbox became; Invalid with the mistakes when it did not become one."""
    if verdict.release is None:
        raise Invalid(verdict.mistakes)
    return verdict.release
