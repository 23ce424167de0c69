"""The record of one release's way through the cluster: who may move, who has moved, the verdict.

Every function of it, here and in `turns` and `verdicts`, takes the record as it was read and returns the record as it
should be; whoever calls writes that by compare-and-swap, or reads again and asks again. So each of these holds for
whatever the others do meanwhile.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Literal

from da_agent.domain.config.strategies import Strategy

PATIENCE = timedelta(seconds=15)
"""How long those whose turn it is keep the others waiting when they do not claim it."""

READ_PERIOD = timedelta(seconds=30)
"""How often a rollout that has ended well is looked into. One that is open is read at each poll, also by those who have
moved: a notify that is lost costs them one poll interval. Meanwhile it is the ledger that is asked so seldom."""

KEPT_LINES = 20


class State(Enum):
    """What is thought of a release."""

    OPEN = "open"
    STABLE = "stable"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class Note:
    """Who did something to a rollout, when and why."""

    by: str
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Slot:
    """The right to be out of service for a moment, in order to go to `release`.

    `begun`: the holder may switch in it, and is lost if it does not come back. In one that is not, it may only run the
    commands that are run once. `joining`: it serves nobody yet, so it takes nobody's place.
    """

    node: str
    release: int
    reason: str
    since: datetime
    until: datetime
    begun: bool = False
    joining: bool = False


@dataclass(frozen=True, slots=True)
class NodeFailure:
    """A node that failed because of the release; `lost` when it has not come back from its turn. `log` ends the log."""

    node: str
    reason: str
    at: datetime
    log: tuple[str, ...] = ()
    lost: bool = False


@dataclass(frozen=True, slots=True)
class ReleaseCommandRun:
    """The commands that are run once: by whom, until when it may take, how it went. `output` ends what they printed."""

    node: str
    until: datetime
    done: bool = False
    output: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Past:
    """Of the releases before one, the newest that is stable, that some node has served, and that is not bad; and those
    that are quarantined and newer than the stable one."""

    stable: int | None = None
    served: int | None = None
    fit: int | None = None
    bad: tuple[int, ...] = ()

    @property
    def way_back(self) -> int | None:
        """Where to go when the release itself cannot be."""
        return self.stable or self.served or self.fit


@dataclass(frozen=True, slots=True)
class Rollout:
    """`moved` have stable that they serve the release; `sick` are at fault themselves, and hold nobody up.

    `closed`: a newer release has come; no turn is given here any more, and there is no new verdict.
    `resumed` is who has last ended a pause, and why. `past` is fixed when the record is opened: those before it are
    closed by then, so their states are final; None after one that an older agent has opened.
    `generation` counts the changes, and `nonce` is random for each: after a doubtful write they tell whose it is, and
    no two records have equal bytes.
    """

    release: int
    strategy: Strategy
    opened_at: datetime
    changed_at: datetime
    state: State = State.OPEN
    closed: bool = False
    skip_canary: bool = False
    slots: tuple[Slot, ...] = ()
    updated: tuple[str, ...] = ()
    failures: tuple[NodeFailure, ...] = ()
    unhealthy: tuple[Note, ...] = ()
    release_command: ReleaseCommandRun | None = None
    paused: Note | None = None
    resumed: Note | None = None
    verdict: Note | None = None
    retries: tuple[Note, ...] = ()
    past: Past | None = None
    generation: int = 0
    nonce: str = ""
    format: Literal[1] = 1

    def slot(self, node: str) -> Slot | None:
        return next((slot for slot in self.slots if slot.node == node), None)

    def failure(self, node: str) -> NodeFailure | None:
        return next((failure for failure in self.failures if failure.node == node), None)

    @property
    def unhealthy_nodes(self) -> frozenset[str]:
        return frozenset(note.by for note in self.unhealthy)

    def slots_without(self, node: str) -> tuple[Slot, ...]:
        return tuple(slot for slot in self.slots if slot.node != node)

    def release_command_without(self, node: str) -> ReleaseCommandRun | None:
        """Commands that `node` has not run to their end are another's to run."""
        return (
            None
            if self.release_command is not None and self.release_command.node == node and not self.release_command.done
            else self.release_command
        )

    @property
    def release_command_is_due(self) -> bool:
        return bool(self.strategy.release_command) and not (
            self.release_command is not None and self.release_command.done
        )


@dataclass(frozen=True, slots=True)
class Denied:
    """What was asked for is not to be had now, and why: one clause for `why NODE` and the node's report."""

    reason: str


# ---- the beginning and the end of a record --------------------------------------------------------------------------


def opened(
    release: int, strategy: Strategy, before: Collection[Rollout], *, now: datetime, skip_canary: bool = False
) -> Rollout:
    """The first record of a release. `before` are the records that were closed for it: what still runs there counts
    here, and who has paused the cluster has paused this release, too."""
    slots = {slot.node: slot for each in before for slot in each.slots if slot.until > now}
    paused = next((each.paused for each in sorted(before, key=lambda each: -each.release) if each.paused), None)
    carried = tuple(replace(slot, begun=False) for slot in slots.values())
    known = past(before) if all(map(knows_way_back, before)) else None
    return Rollout(release, strategy, now, now, skip_canary=skip_canary, slots=carried, paused=paused, past=known)


def knows_way_back(rollout: Rollout) -> bool:
    """Whether nothing that came before it matters to those that come after it."""
    return rollout.state is State.STABLE or rollout.past is not None


def past(before: Collection[Rollout]) -> Past:
    """What the records before a release tell. One that knows what came before it speaks for all those, too: however
    many bad releases follow each other, nobody has to look for the good one."""
    found = Past()
    for each in sorted(before, key=lambda each: each.release):
        found = each.past or found
        if each.state is State.QUARANTINED:
            found = replace(found, bad=(*found.bad, each.release))
            continue
        stable, bad = (each.release, ()) if each.state is State.STABLE else (found.stable, found.bad)
        found = Past(stable, each.release if each.updated else found.served, each.release, bad)
    return found


def is_bad(rollout: Rollout, release: int | None) -> bool:
    """Whether the newest release's record says that `release` is quarantined, which may be an older one."""
    if release == rollout.release:
        return rollout.state is State.QUARANTINED
    return rollout.past is not None and release in rollout.past.bad


def closed(rollout: Rollout, *, now: datetime) -> Rollout:
    """A newer release has come: its record takes over the turns that run here."""
    return replace(rollout, closed=True, changed_at=now)


# ---- how often it is read -------------------------------------------------------------------------------------------


def read_period(rollout: Rollout) -> timedelta:
    """How long the record may be left unread: what a node must learn without being notified, it learns after this."""
    # One that is quarantined may be retried at any time; one that is open may be quarantined.
    return READ_PERIOD if rollout.state is State.STABLE else timedelta()


def tells_of_newer(rollout: Rollout) -> bool:
    """Whether it is read at each poll, so that the ledger need not be: it is closed when a newer release has come."""
    return not rollout.closed and not read_period(rollout)


# ---- what people say ------------------------------------------------------------------------------------------------


def pause(rollout: Rollout, note: Note) -> Rollout:
    """Nobody switches until somebody resumes. Whoever has goes on, and what must go back goes back."""
    return replace(rollout, paused=note, changed_at=note.at)


def resume(rollout: Rollout, note: Note) -> Rollout:
    return replace(rollout, paused=None, resumed=note, changed_at=note.at)


def retry(rollout: Rollout, note: Note) -> Rollout:
    """The release may be tried again, by everybody, as if nothing had been held against it."""
    state = State.OPEN if rollout.state is State.QUARANTINED else rollout.state
    retries = (*rollout.retries, note)
    return replace(
        rollout,
        state=state,
        verdict=None,
        failures=(),
        unhealthy=(),
        updated=(),
        release_command=None,
        retries=retries,
        changed_at=note.at,
    )
