"""Waiting for the verdict on a push."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from da_agent import ports
from da_agent.domain.display import rollout_text
from da_agent.domain.node.reports import NodeStatus
from da_agent.domain.rollout import verdicts
from da_agent.domain.rollout.rollouts import Rollout, State
from da_agent.domain.store.inboxes import Verdict
from da_agent.errors import (
    AgentError,
    Conflict,
    Corrupt,
    Forbidden,
    Invalid,
    NodeBroken,
    NoLiveNodes,
    NotFound,
    NotHere,
    Quarantined,
    StoreDamaged,
    StoreUnfit,
    Superseded,
    TimedOut,
    Unreachable,
)
from da_agent.workflows.records.inboxes import Inboxes
from da_agent.workflows.records.ledgers import Ledger
from da_agent.workflows.records.reports import Reports
from da_agent.workflows.records.rollouts import Rollouts

SILENCES = (Unreachable, Forbidden, StoreUnfit, StoreDamaged, Corrupt, NotFound, Conflict)
"""Answers of the store that say nothing about a release: the request is repeated."""

LOOK_AGAIN = timedelta(seconds=0.5)

GONE = timedelta(minutes=5)
"""A node that has not reported for this long is not waited for. A node that resolves or stages may be silent for a
while.
"""

NAMED = 5
"""How many of the changes that a newer release has undone an error names."""


def until_published(
    store: ports.Store,
    inboxes: Inboxes,
    reports: Reports,
    clock: ports.Clock,
    progress: ports.Progress,
    *,
    patience: timedelta,
) -> Verdict:
    """The verdict of a node on the inbox as it is now.

    NotHere when no verdict comes within `patience`, or at once when every live node has said why it cannot publish the
    inbox. TimedOut when the store does not answer at the end.
    """
    watch, deadline = reports.watch(), clock.now() + patience
    silence: AgentError | None = None
    with progress.step("waiting for a node that publishes the inbox") as tell:
        while clock.now() < deadline:
            try:
                verdict, fingerprint = inboxes.verdict(), inboxes.list().fingerprint
                if verdict is not None and verdict.fingerprint == fingerprint:
                    return verdict
                alive = _alive(watch.look(), store.clock())
                _require_able(alive, fingerprint)
                tell(_names([each for each in alive if each.report.activity]))
                silence = None
            except SILENCES as error:
                silence = error
                tell(f"the store does not answer: {error}")
            clock.wait(LOOK_AGAIN)
    if silence is not None:
        raise TimedOut(f"stopped waiting; a node will publish the inbox; the store does not answer: {silence}")
    raise NotHere("no node has published the inbox in time; da-agent status shows the nodes and what each one does")


def _require_able(alive: list[NodeStatus], fingerprint: str) -> None:
    """NotHere, naming each node and its reason, when no live node can publish the inbox."""
    reasons = {
        each.report.node: each.report.unable.reason
        for each in alive
        if each.report.unable is not None and each.report.unable.fingerprint == fingerprint
    }
    if alive and len(reasons) == len(alive):
        named = "; ".join(f"{node}: {reason}" for node, reason in sorted(reasons.items()))
        raise NotHere(f"cannot publish the inbox: no node can do it: {named}. da-agent status shows the nodes")


def pause(rollouts: Rollouts, number: int) -> str | None:
    """Why release `number` does not roll out, and the remedy; None when the cluster is not paused."""
    note = rollouts.paused(number)
    if note is None:
        return None
    return f"No node updates: the cluster is paused {rollout_text.said(note)}; da-agent resume ends the pause"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A stable release: the nodes that serve it, and those that do not, with their reasons."""

    release: int
    nodes: tuple[str, ...]
    without: Mapping[str, str]


def until_stable(
    store: ports.Store,
    ledger: Ledger,
    rollouts: Rollouts,
    reports: Reports,
    number: int,
    *,
    clock: ports.Clock,
    progress: ports.Progress,
    patience: timedelta,
) -> Arrival:
    """Wait until release `number` is stable. Once a newer release has come before its verdict, wait for that one
    instead.

    Quarantined with the reason. Superseded when the newer release is stable and undoes this one. NodeBroken when every
    node is unhealthy. NoLiveNodes when no node is alive. TimedOut, naming the nodes that are behind and what they wait
    for. The rollout continues in each case. A store that does not answer gives no verdict: it is asked again until
    `patience` has passed.
    """
    release, deadline = _Awaited(store, ledger, rollouts, reports, number, progress=progress), clock.now() + patience
    with progress.step(f"waiting for the verdict on release {number}") as tell:
        while True:
            silence = None
            try:
                found = release.look(tell)
                if found is not None:
                    return found
            except SILENCES as error:
                silence = error
                tell(f"the store does not answer: {error}")
            if clock.now() >= deadline:
                raise TimedOut(release.late(silence))
            clock.wait(LOOK_AGAIN)


class _Awaited:
    """The release that is waited for, and its last known state."""

    def __init__(
        self,
        store: ports.Store,
        ledger: Ledger,
        rollouts: Rollouts,
        reports: Reports,
        number: int,
        *,
        progress: ports.Progress,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._reports = reports
        self._rollouts = rollouts
        self._number = number
        self._progress = progress
        self._newest = number
        self._known = "no node has reported"

    def look(self, tell: Callable[[str], object]) -> Arrival | None:
        """The arrival, or None while there is no verdict. Raises any other verdict, or the store's error."""
        head = self._ledger.head(self._newest) or self._newest
        rollout = _record(self._rollouts, self._number, head)
        if head > self._newest:
            self._progress.say(_come(self._number, head, rollout))
            self._newest = head
        if rollout is not None and rollout.state is not State.OPEN:
            return _arrival(self._ledger, rollout, self._number, self._newest)
        live = self._rollouts.nodes(within=GONE).lately
        if not live:
            raise NoLiveNodes(
                f"release {self._newest} has no verdict: no node is alive; each node takes it when it starts"
            )
        now = self._store.clock()
        self._known = rollout_text.progress(rollout, live, now=now)
        tell(self._known)
        if rollout is not None and verdicts.is_stuck(rollout, live, now=now):
            raise NodeBroken(rollout_text.stuck(rollout))
        return None

    def late(self, silence: AgentError | None) -> str:
        """The message when time is up. `silence` is the store's last error, or None when its last answer was good."""
        try:
            if silence is None:
                rollout, now = _record(self._rollouts, self._number, self._newest), self._store.clock()
                return _late(self._newest, rollout, _alive(self._reports.node_statuses(), now), now)
        except SILENCES as error:
            silence = error
        return (
            f"release {self._newest} is published; its rollout continues; last known: {self._known};"
            f" the store does not answer: {silence}"
        )


def _record(rollouts: Rollouts, number: int, newest: int) -> Rollout | None:
    """The release's own record as long as it has, or may get, a verdict; else the newest one's. A later release's
    verdict does not count for a decided one.
    """
    own = rollouts.read(number)
    decided = own is not None and own.state is not State.OPEN
    return own if decided or newest == number else rollouts.read(newest)


def _come(number: int, head: int, rollout: Rollout | None) -> str:
    waits = rollout is None or rollout.release != number
    return f"Release {head} was published after release {number}{'; waiting for its verdict instead' if waits else ''}"


def _arrival(ledger: Ledger, rollout: Rollout, number: int, newest: int) -> Arrival:
    if rollout.state is State.QUARANTINED:
        raise Quarantined(_quarantine(rollout, number, newest))
    if rollout.release != number:
        _require_change(ledger, number, rollout.release)
    without = {failure.node: failure.reason for failure in rollout.failures} | {
        note.by: note.reason for note in rollout.unhealthy
    }
    return Arrival(rollout.release, tuple(sorted(rollout.updated)), without)


def _quarantine(rollout: Rollout, number: int, newest: int) -> str:
    bad = rollout.release
    after = f" (it was published after release {number})" if bad != number else ""
    if newest > bad:
        return f"{rollout_text.quarantine(rollout)}{after}; release {newest} was published after it"
    return (
        f"{rollout_text.quarantine(rollout)}{after}; the nodes go back to the release that was stable before;"
        f" da-agent retry {bad} --reason TEXT lets them try it again"
    )


def _require_change(ledger: Ledger, number: int, newer: int) -> None:
    """Superseded unless the stable release `newer` still has what release `number` had changed."""
    # Imported here: a plain wait does not need the YAML parser.
    from da_agent.domain.release import superseded

    try:
        mine, after = ledger.read(number), ledger.read(newer)
        before = ledger.read(number - 1).contents if number > 1 else None
        lost = superseded.undone(before, mine.contents, after.contents, lambda blob: ledger.reader.blob(blob, None))
    except (NotFound, Corrupt, StoreDamaged, Invalid) as error:
        raise Superseded(
            f"release {newer} is stable, but it is not known whether it has the change of release {number}: {error}"
        ) from error
    if lost:
        named = ", ".join(lost[:NAMED]) + (" …" if lost[NAMED:] else "")
        back = f", a rollback to release {after.rollback_of}" if after.rollback_of is not None else ""
        raise Superseded(
            f"release {number} is not served: release {newer}{back}, by {after.publisher} ({after.reason}),"
            f" replaced it and is stable, but undoes its change of {named}"
        )


def _late(number: int, rollout: Rollout | None, alive: list[NodeStatus], now: datetime) -> str:
    there = frozenset(rollout.updated if rollout is not None else ())
    late = [each for each in alive if each.report.node not in there]
    remedy = "; da-agent resume ends the pause" if rollout is not None and rollout.paused is not None else ""
    progress = rollout_text.progress(rollout, [each.report.node for each in alive], now=now)
    goes = "is paused" if remedy else "continues"
    there_not = f"not updated yet: {_names(late) or 'none'}"
    return f"release {number} is published; its rollout {goes}: {progress}; {there_not}{remedy}"


def _alive(found: Iterable[NodeStatus], now: datetime) -> list[NodeStatus]:
    return [each for each in found if not each.silent(now, GONE)]


def _names(behind: list[NodeStatus]) -> str:
    return ", ".join(f"{each.report.node} ({rollout_text.behind(each.report)})" for each in behind)


def release_of(verdict: Verdict) -> int:
    """The release that an inbox became; Invalid with the mistakes when it did not become one."""
    if verdict.release is None:
        raise Invalid(verdict.mistakes)
    return verdict.release
