"""The record of one release's rollout: which nodes may update, which are updated, and the verdict.

Every function here and in `slots` and `verdicts` takes the record as it was read and returns the record as it should
be. The caller writes that by compare-and-swap, or reads again and calls again. So each change holds whatever other
nodes write meanwhile.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from da_agent.domain.config.strategies import Strategy

PATIENCE = timedelta(seconds=15)
"""How long the nodes that are next keep the others waiting when they do not claim their slots."""

READ_PERIOD = timedelta(seconds=30)
"""How often a node reads the record of a stable rollout.

A node reads an open one at each poll, even when it is updated: a lost notification then costs one poll interval. While
a rollout is open, the ledger is read at this period instead.
"""


class State(Enum):
    """The state of a release."""

    OPEN = "open"
    STABLE = "stable"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class Note:
    """A change of a rollout: by which node or admin, when and why."""

    by: str
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Slot:
    """The right to be out of service for a moment, in order to go to `release`.

    `begun`: the holder may switch in this slot, and counts as lost if it does not report back. Otherwise the holder may
    only run the release command. `joining`: the holder does not serve yet, so it takes no other node's place.
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
    """A node that failed because of the release. `lost`: it did not report back before its slot expired.

    `log` is the end of its log.
    """

    node: str
    reason: str
    at: datetime
    log: tuple[str, ...] = ()
    lost: bool = False


@dataclass(frozen=True, slots=True)
class ReleaseCommandRun:
    """The run of the release command: on which node, until when it may take, and how it went.

    `output` is the end of what the command printed.
    """

    node: str
    until: datetime
    done: bool = False
    output: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of the releases before one: the newest `stable` one, the newest one that a node has `served`, the
    newest `fit` one (not bad). `bad` are the quarantined ones that are newer than the stable one."""

    stable: int | None = None
    served: int | None = None
    fit: int | None = None
    bad: tuple[int, ...] = ()

    @property
    def way_back(self) -> int | None:
        """The release to go to when the release itself is not usable."""
        return self.stable or self.served or self.fit


@dataclass(frozen=True, slots=True)
class Rollout:
    """The rollout record. `updated` nodes have reported that they serve the release; `unhealthy` nodes hold up no
    other.

    `closed`: there is a newer release. This record then gives no slot any more and gets no new verdict. `resumed` is
    who last ended a pause, and why. `past` is fixed when the record is opened: the older records are closed by then, so
    their states are final. `past` is None after a record that an older agent opened. `generation` counts the changes,
    and `nonce` is random for each. After a write with an unknown outcome they tell whose change it is, and no two
    records have equal bytes.
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
        """The run of the release command; None when `node` did not finish it, so that another node may run it."""
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
    """Why a request is denied now: one clause for `why NODE` and the node's report."""

    reason: str


# ---- the beginning and the end of a record --------------------------------------------------------------------------


def opened(
    release: int, strategy: Strategy, before: Collection[Rollout], *, now: datetime, skip_canary: bool = False
) -> Rollout:
    """The first record of a release. `before` are the records that were closed for it.

    The slots that still run there are carried over. A pause of the cluster there pauses this release, too.
    """
    slots = {slot.node: slot for each in before for slot in each.slots if slot.until > now}
    paused = next((each.paused for each in sorted(before, key=lambda each: -each.release) if each.paused), None)
    carried = tuple(replace(slot, begun=False) for slot in slots.values())
    known = past(before) if all(map(knows_way_back, before)) else None
    return Rollout(release, strategy, now, now, skip_canary=skip_canary, slots=carried, paused=paused, past=known)


def knows_way_back(rollout: Rollout) -> bool:
    """Whether later releases need no record older than this one."""
    return rollout.state is State.STABLE or rollout.past is not None


def past(before: Collection[Rollout]) -> Past:
    """What the records before a release tell. A record with a `past` stands for all older ones.

    So a node finds the good release without reading further back, however many bad releases follow each other.
    """
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
    """Whether the newest release's record says that `release`, the newest or an older one, is quarantined."""
    if release == rollout.release:
        return rollout.state is State.QUARANTINED
    return rollout.past is not None and release in rollout.past.bad


def closed(rollout: Rollout, *, now: datetime) -> Rollout:
    """The record once there is a newer release: the newer record takes over the running slots."""
    return replace(rollout, closed=True, changed_at=now)


def latest(rollout: Rollout) -> datetime:
    """The last of the times in the record: no other is longer than a slot after the write."""
    notes = (rollout.paused, rollout.resumed, rollout.verdict, *rollout.unhealthy, *rollout.retries)
    return max(
        rollout.opened_at,
        rollout.changed_at,
        *(slot.until for slot in rollout.slots),
        *(failure.at for failure in rollout.failures),
        *(note.at for note in notes if note is not None),
        *(() if rollout.release_command is None else (rollout.release_command.until,)),
    )


# ---- how often it is read -------------------------------------------------------------------------------------------


def read_period(rollout: Rollout) -> timedelta:
    """How long the record may be left unread: a node learns by then what no notification told it."""
    # A quarantined release may be retried at any time; an open one may be quarantined.
    return READ_PERIOD if rollout.state is State.STABLE else timedelta()


def tells_of_newer(rollout: Rollout) -> bool:
    """Whether the record is read at each poll, so that the ledger need not be: a newer release closes the record."""
    return not rollout.closed and not read_period(rollout)


# ---- what an admin changes ------------------------------------------------------------------------------------------


def pause(rollout: Rollout, note: Note) -> Rollout:
    """No node switches until an admin resumes. A node that has switched goes on, and a node that must go back does
    so."""
    return replace(rollout, paused=note, changed_at=note.at)


def resume(rollout: Rollout, note: Note) -> Rollout:
    return replace(rollout, paused=None, resumed=note, changed_at=note.at)


def retry(rollout: Rollout, note: Note) -> Rollout:
    """The release is open to every node again, without its failures."""
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
