"""Waiting for the verdict on what was pushed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from da_agent import ports
from da_agent.domain import rollouts as records
from da_agent.domain import standings
from da_agent.domain.inboxes import Verdict
from da_agent.domain.reports import Sighting
from da_agent.domain.rollouts import Rollout, State
from da_agent.errors import NodeBroken, NotHere, Quarantined, Refused, TimedOut
from da_agent.workflows import reports
from da_agent.workflows.inboxes import Inboxes
from da_agent.workflows.ledgers import Ledger
from da_agent.workflows.rollouts import Rollouts

LOOK_AGAIN = timedelta(seconds=0.5)

GONE = timedelta(minutes=5)
"""A node that has not reported for so long is not waited for. One that resolves or stages may be silent for a while."""


def until_adopted(store: ports.Store, clock: ports.Clock, progress: ports.Progress, patience: timedelta) -> Verdict:
    """The verdict of some node on the inbox as it is now; NotHere when none comes in time."""
    inboxes = Inboxes(store)
    deadline = clock.now() + patience
    with progress.step("waiting for a node that adopts the inbox") as tell:
        while clock.now() < deadline:
            verdict = inboxes.verdict()
            if verdict is not None and verdict.fingerprint == inboxes.list().fingerprint:
                return verdict
            tell(_names([each for each in _alive(store) if each.report.doing]))
            clock.wait(LOOK_AGAIN)
    raise NotHere("no node has adopted the inbox: none is alive that can resolve packages; see da-agent status")


@dataclass(frozen=True, slots=True)
class Arrival:
    """The release that was proven: which nodes serve it, and which do not, and why. No `nodes`: none is alive."""

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
    """What became of release `number`, or of a newer one that came meanwhile: it contains this one, or replaces it.

    Quarantined with the reason; NodeBroken when every node is at fault itself; TimedOut, naming the nodes that are
    behind and what they wait for. What was begun goes on in each case. When no node is alive, nobody is waited for.
    """
    ledger, newest, deadline = Ledger(store), number, clock.now() + patience
    with progress.step(f"waiting for the verdict on release {number}") as tell:
        while True:
            head = ledger.head(newest) or newest
            if head > newest:
                progress.say(f"Release {head} has come after release {newest}: its verdict is waited for instead")
                newest = head
            rollout, alive = rollouts.read(newest), _alive(store)
            if rollout is not None and rollout.state is not State.OPEN:
                return _arrival(rollout, number)
            if not alive:
                return Arrival(newest, (), {})
            live = [each.report.node for each in alive]
            now = store.clock()
            tell(standings.progress(rollout, live, now=now))
            if rollout is not None and records.is_stuck(rollout, live, now=now):
                raise NodeBroken(standings.stuck(rollout))
            if clock.now() >= deadline:
                raise TimedOut(_late(newest, rollout, alive, now))
            clock.wait(LOOK_AGAIN)


def _arrival(rollout: Rollout, number: int) -> Arrival:
    if rollout.state is State.QUARANTINED:
        after = f" (it has come after release {number})" if rollout.release != number else ""
        raise Quarantined(
            f"{standings.quarantine(rollout)}{after}; the nodes go back to what was proven before, and"
            f" da-agent pardon {rollout.release} lets them try it again"
        )
    without = {blame.node: blame.reason for blame in rollout.blames} | {note.by: note.reason for note in rollout.sick}
    return Arrival(rollout.release, tuple(sorted(rollout.moved)), without)


def _late(number: int, rollout: Rollout | None, alive: list[Sighting], now: datetime) -> str:
    there = frozenset(rollout.moved if rollout is not None else ())
    late = [each for each in alive if each.report.node not in there]
    remedy = "; da-agent resume lets it go on" if rollout is not None and rollout.paused is not None else ""
    progress = standings.progress(rollout, [each.report.node for each in alive], now=now)
    return f"release {number} is not proven yet: {progress}; not yet there: {_names(late) or 'nobody'}{remedy}"


def _alive(store: ports.Store) -> list[Sighting]:
    now = store.clock()
    return [each for each in reports.sightings(store) if not each.silent(now, GONE)]


def _names(behind: list[Sighting]) -> str:
    return ", ".join(f"{each.report.node} ({standings.behind(each.report)})" for each in behind)


def release_of(verdict: Verdict) -> int:
    """The release that an inbox became; Refused with the mistakes when it did not become one."""
    if verdict.release is None:
        raise Refused(verdict.mistakes)
    return verdict.release
