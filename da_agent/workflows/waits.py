"""Waiting for the verdict on what was pushed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from da_agent import ports
from da_agent.domain import standings, verdicts
from da_agent.domain.inboxes import Verdict
from da_agent.domain.reports import Sighting
from da_agent.domain.rollouts import Rollout, State
from da_agent.errors import (
    Absent,
    NobodyAlive,
    NodeBroken,
    NotHere,
    Quarantined,
    Refused,
    Replaced,
    StoreDamaged,
    Tampered,
    TimedOut,
)
from da_agent.workflows import reports
from da_agent.workflows.inboxes import Inboxes
from da_agent.workflows.ledgers import Ledger
from da_agent.workflows.rollouts import Rollouts

LOOK_AGAIN = timedelta(seconds=0.5)

GONE = timedelta(minutes=5)
"""A node that has not reported for so long is not waited for. One that resolves or stages may be silent for a while."""

NAMED = 5
"""So many of the changes that a newer release has undone are named."""


def until_adopted(store: ports.Store, clock: ports.Clock, progress: ports.Progress, patience: timedelta) -> Verdict:
    """The verdict of some node on the inbox as it is now; NotHere when none comes in time."""
    inboxes, watch = Inboxes(store), reports.Watch(store)
    deadline = clock.now() + patience
    with progress.step("waiting for a node that adopts the inbox") as tell:
        while clock.now() < deadline:
            verdict = inboxes.verdict()
            if verdict is not None and verdict.fingerprint == inboxes.list().fingerprint:
                return verdict
            tell(_names([each for each in _alive(watch.look(), store.clock()) if each.report.doing]))
            clock.wait(LOOK_AGAIN)
    raise NotHere("no node has adopted the inbox: none is alive that can resolve packages; see da-agent status")


def pause(rollouts: Rollouts, number: int) -> str | None:
    """Why nothing happens although release `number` is there, and what to do; None when nobody has paused."""
    note = rollouts.paused(number)
    if note is None:
        return None
    return f"Nothing moves yet: the cluster is paused {standings.said(note)}; da-agent resume lets the nodes go on"


@dataclass(frozen=True, slots=True)
class Arrival:
    """The release that was proven: which nodes serve it, and which do not, and why."""

    release: int
    nodes: tuple[str, ...]
    without: Mapping[str, str]


def until_proven(
    store: ports.Store,
    rollouts: Rollouts,
    clock: ports.Clock,
    progress: ports.Progress,
    number: int,
    *,
    patience: timedelta,
) -> Arrival:
    """What became of release `number`; once a newer one has come before its verdict, what became of that.

    Quarantined with the reason; Replaced when the newer one is proven and undoes what this one had changed; NodeBroken
    when every node is at fault itself; NobodyAlive; TimedOut, naming the nodes that are behind and what they wait for.
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
                raise NobodyAlive(f"release {newest} is not proven: no node is alive; each will take it when it starts")
            now = store.clock()
            tell(standings.progress(rollout, live, now=now))
            if rollout is not None and verdicts.is_stuck(rollout, live, now=now):
                raise NodeBroken(standings.stuck(rollout))
            if clock.now() >= deadline:
                raise TimedOut(_late(newest, rollout, _alive(reports.sightings(store), now), now))
            clock.wait(LOOK_AGAIN)


def _record(rollouts: Rollouts, number: int, newest: int) -> Rollout | None:
    """The own record as long as it has a verdict, or may get one: what comes later does not speak for it."""
    own = rollouts.read(number)
    settled = own is not None and own.state is not State.OPEN
    return own if settled or newest == number else rollouts.read(newest)


def _come(number: int, head: int, rollout: Rollout | None) -> str:
    waits = rollout is None or rollout.release != number
    return f"Release {head} has come after release {number}{': its verdict is waited for instead' if waits else ''}"


def _arrival(store: ports.Store, rollout: Rollout, number: int, newest: int) -> Arrival:
    if rollout.state is State.QUARANTINED:
        raise Quarantined(_quarantine(rollout, number, newest))
    if rollout.release != number:
        _require_change(store, number, rollout.release)
    without = {blame.node: blame.reason for blame in rollout.blames} | {note.by: note.reason for note in rollout.sick}
    return Arrival(rollout.release, tuple(sorted(rollout.moved)), without)


def _quarantine(rollout: Rollout, number: int, newest: int) -> str:
    bad = rollout.release
    after = f" (it has come after release {number})" if bad != number else ""
    if newest > bad:
        return f"{standings.quarantine(rollout)}{after}; release {newest} has come after it"
    return (
        f"{standings.quarantine(rollout)}{after}; the nodes go back to what was proven before, and"
        f" da-agent pardon {bad} lets them try it again"
    )


def _require_change(store: ports.Store, number: int, newer: int) -> None:
    """Replaced unless release `newer`, which is proven, has what release `number` had changed."""
    # Whoever only waits need not wait for what reads YAML.
    from da_agent.domain import takeovers
    from da_agent.workflows import views

    ledger = Ledger(store)
    try:
        mine, after = ledger.read(number), ledger.read(newer)
        before = ledger.read(number - 1).contents if number > 1 else None
        lost = takeovers.undone(before, mine.contents, after.contents, lambda blob: views.blob(store, blob, None))
    except (Absent, Tampered, StoreDamaged, Refused) as error:
        raise Replaced(
            f"release {newer} is proven, and nobody can tell whether it has what release {number} had changed: {error}"
        ) from error
    if lost:
        back = f", a rollback to release {after.rollback_of}" if after.rollback_of is not None else ""
        raise Replaced(
            f"release {number} is not served: release {newer}{back}, by {after.publisher} ({after.reason}), has taken"
            f" its place and is proven, without its change of {', '.join(lost[:NAMED])}{' …' if lost[NAMED:] else ''}"
        )


def _late(number: int, rollout: Rollout | None, alive: list[Sighting], now: datetime) -> str:
    there = frozenset(rollout.moved if rollout is not None else ())
    late = [each for each in alive if each.report.node not in there]
    remedy = "; da-agent resume lets it go on" if rollout is not None and rollout.paused is not None else ""
    progress = standings.progress(rollout, [each.report.node for each in alive], now=now)
    return f"release {number} is not proven yet: {progress}; not yet there: {_names(late) or 'nobody'}{remedy}"


def _alive(found: Iterable[Sighting], now: datetime) -> list[Sighting]:
    return [each for each in found if not each.silent(now, GONE)]


def _names(behind: list[Sighting]) -> str:
    return ", ".join(f"{each.report.node} ({standings.behind(each.report)})" for each in behind)


def release_of(verdict: Verdict) -> int:
    """The release that an inbox became; Refused with the mistakes when it did not become one."""
    if verdict.release is None:
        raise Refused(verdict.mistakes)
    return verdict.release
