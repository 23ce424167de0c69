"""The record of one release's way through the cluster: who may move, who has moved, the verdict.

Every function takes the record as it was read and returns the record as it should be; whoever calls writes that by
compare-and-swap, or reads again and asks again. So each of these holds for whatever the others do meanwhile:

- Turns live in the record of the newest release alone, whichever release they are for. When a newer release comes, the
  older record is closed first, and the turns that still run are carried over: they always count in one place.
- Claiming a turn is the one change before the switch: once a quarantine is written, nobody gets one. Whoever has
  drained since then reads the record once more before it switches.
- How many turns are free is computed from the list, never stored. A turn ends by itself.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Literal

from da_agent.domain.policies import Policy

SLACK = timedelta(seconds=5)
"""A turn with less than this left is over for whoever wants to begin: clocks differ, and writing takes a moment."""

PATIENCE = timedelta(seconds=15)
"""How long those whose turn it is keep the others waiting when they do not claim it."""

LEISURE = timedelta(seconds=30)
"""How often a rollout that has ended well is looked into. One that is open is read at each poll, also by those who have
moved: a poke that is lost costs them one poll interval. Meanwhile it is the ledger that is asked so seldom."""

LISTING = timedelta(minutes=5)
"""How long a share is taken of those that were alive, to see by that it is not yet one's turn."""

ILL = timedelta(seconds=60)
"""How long a node is sick before nobody waits for it any more: it has tried again meanwhile."""

FIRST_PAUSE = timedelta(seconds=0.1)
"""About what it takes to read a record and to write it; the first pause is up to twice as long."""

LONGEST_PAUSE = timedelta(seconds=5)

KEPT_LINES = 20


class State(Enum):
    """What is thought of a release."""

    OPEN = "open"
    PROVEN = "proven"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class Note:
    """Who did something to a rollout, when and why."""

    by: str
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Turn:
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
class Blame:
    """A node that failed because of the release; `lost` when it has not come back from its turn. `log` ends the log."""

    node: str
    reason: str
    at: datetime
    log: tuple[str, ...] = ()
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Once:
    """The commands that are run once: by whom, until when it may take, how it went. `output` ends what they printed."""

    node: str
    until: datetime
    done: bool = False
    output: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Past:
    """Of the releases before one, the newest that is proven, that some node has served, and that is not bad; and those
    that are quarantined and newer than the proven one."""

    proven: int | None = None
    served: int | None = None
    fit: int | None = None
    bad: tuple[int, ...] = ()

    @property
    def way_back(self) -> int | None:
        """Where to go when the release itself cannot be."""
        return self.proven or self.served or self.fit


@dataclass(frozen=True, slots=True)
class Rollout:
    """`moved` have proven that they serve the release; `sick` are at fault themselves, and hold nobody up.

    `closed`: a newer release has come; no turn is given here any more, and there is no new verdict.
    `resumed` is who has last ended a pause, and why. `past` is fixed when the record is opened: those before it are
    closed by then, so their states are final; None after one that an older agent has opened.
    `generation` counts the changes, and `nonce` is random for each: after a doubtful write they tell whose it is, and
    no two records have equal bytes.
    """

    release: int
    policy: Policy
    opened_at: datetime
    changed_at: datetime
    state: State = State.OPEN
    closed: bool = False
    skip_canary: bool = False
    turns: tuple[Turn, ...] = ()
    moved: tuple[str, ...] = ()
    blames: tuple[Blame, ...] = ()
    sick: tuple[Note, ...] = ()
    once: Once | None = None
    paused: Note | None = None
    resumed: Note | None = None
    verdict: Note | None = None
    pardons: tuple[Note, ...] = ()
    past: Past | None = None
    generation: int = 0
    nonce: str = ""
    format: Literal[1] = 1

    def turn(self, node: str) -> Turn | None:
        return next((turn for turn in self.turns if turn.node == node), None)

    def blame(self, node: str) -> Blame | None:
        return next((blame for blame in self.blames if blame.node == node), None)

    @property
    def once_is_due(self) -> bool:
        return bool(self.policy.once) and not (self.once is not None and self.once.done)


@dataclass(frozen=True, slots=True)
class Denied:
    """What was asked for is not to be had now, and why: one clause for `why NODE` and the node's report."""

    reason: str


# ---- the beginning and the end of a record --------------------------------------------------------------------


def opened(
    release: int, policy: Policy, before: Collection[Rollout], *, now: datetime, skip_canary: bool = False
) -> Rollout:
    """The first record of a release. `before` are the records that were closed for it: what still runs there counts
    here, and who has paused the cluster has paused this release, too."""
    turns = {turn.node: turn for each in before for turn in each.turns if turn.until > now}
    paused = next((each.paused for each in sorted(before, key=lambda each: -each.release) if each.paused), None)
    carried = tuple(replace(turn, begun=False) for turn in turns.values())
    known = past(before) if all(map(knows_way_back, before)) else None
    return Rollout(release, policy, now, now, skip_canary=skip_canary, turns=carried, paused=paused, past=known)


def knows_way_back(rollout: Rollout) -> bool:
    """Whether nothing that came before it matters to those that come after it."""
    return rollout.state is State.PROVEN or rollout.past is not None


def past(before: Collection[Rollout]) -> Past:
    """What the records before a release tell. One that knows what came before it speaks for all those, too: however
    many bad releases follow each other, nobody has to look for the good one."""
    found = Past()
    for each in sorted(before, key=lambda each: each.release):
        found = each.past or found
        if each.state is State.QUARANTINED:
            found = replace(found, bad=(*found.bad, each.release))
            continue
        proven, bad = (each.release, ()) if each.state is State.PROVEN else (found.proven, found.bad)
        found = Past(proven, each.release if each.moved else found.served, each.release, bad)
    return found


def is_bad(rollout: Rollout, release: int | None) -> bool:
    """Whether the newest release's record says that `release` is quarantined, which may be an older one."""
    if release == rollout.release:
        return rollout.state is State.QUARANTINED
    return rollout.past is not None and release in rollout.past.bad


def closed(rollout: Rollout, *, now: datetime) -> Rollout:
    """A newer release has come: its record takes over the turns that run here."""
    return replace(rollout, closed=True, changed_at=now)


# ---- turns ----------------------------------------------------------------------------------------------------


def running(rollout: Rollout, *, now: datetime) -> tuple[Turn, ...]:
    """The turns that count."""
    return tuple(turn for turn in rollout.turns if turn.until > now and not turn.joining)


def places(rollout: Rollout, node: str, live: Collection[str], *, now: datetime) -> int:
    """How many turns are free for `node`, its own not counted: canaries go alone, the others when those have moved.

    `live` are those that have been heard lately, also where nobody is sure that the others are gone: a share of those
    that have died since would let more go than are left.
    """
    taken = sum(1 for turn in running(rollout, now=now) if turn.node != node)
    # However few are heard at the moment: where there are fewer than canaries, all go alone.
    wanted = 0 if rollout.skip_canary else rollout.policy.canary
    if rollout.state is State.OPEN and len(rollout.moved) < wanted:
        return max(0, 1 - taken)
    return max(0, rollout.policy.at_once(len(live)) - taken)


def queue(rollout: Rollout, live: Collection[str], *, now: datetime) -> tuple[str, ...]:
    """The live nodes that have still to move and hold no turn, in the order in which they go."""
    busy = {turn.node for turn in rollout.turns if turn.until > now}
    out = {*rollout.moved, *busy, *(blame.node for blame in rollout.blames), *_sick(rollout)}
    return tuple(sorted(node for node in live if node not in out))


def claim(
    rollout: Rollout,
    node: str,
    target: int,
    live: Collection[str],
    *,
    now: datetime,
    reason: str,
    joining: bool,
    sure: bool = True,
) -> Rollout | Denied:
    """Claiming twice is the same as claiming once, but lasts longer, unless the first turn is about to end; `live` are
    the nodes that have reported lately, whether or not that is sure. The turn is begun with that, unless commands that
    are run once are due: then it is claimed again when they have been run.

    `joining`: the node serves nobody, so it takes nobody's place and waits for nobody. Not `sure`: the store was away
    until now, so that nobody could report, and who is not heard of may be well.
    """
    held = rollout.turn(node)
    if held is None or held.release != target or held.until <= now or held.joining != joining:
        held = None
    # Others, whose clocks differ, may hold one that ends now to be over: they may go first then.
    free = joining or (held is not None and held.until > now + SLACK)
    before, rollout = rollout.state, _without_lost(rollout, node, live, now=now) if sure else rollout
    if (denied := _refusal(rollout, target, joining=joining or _has_begun(held))) is not None:
        # What was found on the way is worth writing: the caller has no turn in it, and asks again.
        return denied if rollout.state is before else rollout
    rest = replace(rollout, turns=_others(rollout, node))
    if not free and (denied := _wait(rest, node, target, live, now=now)) is not None:
        return denied
    since, until = held.since if held else now, now + rollout.policy.turn
    begun = _has_begun(held) or not (target == rollout.release and rollout.once_is_due)
    turn = Turn(node, target, reason, since, until, begun=begun, joining=joining)
    return replace(rollout, turns=_others(rollout, node, turn), changed_at=now)


def forgone(rollout: Rollout, node: str, target: int, live: Collection[str], *, now: datetime) -> Denied | None:
    """Why it would be in vain to ask for a turn: the record, as it was just read, tells, and nobody need be listed.

    `live` are the nodes that were alive a while ago. None when that may matter: those whose turn it is do not claim it.
    """
    if rollout.turn(node) is not None:
        return None
    if (denied := _refusal(rollout, target, joining=False)) is not None:
        return denied
    stalled = now - rollout.changed_at >= PATIENCE and places(rollout, node, live, now=now) > 0
    return None if stalled else _wait(rollout, node, target, live, now=now)


def listing_lasts(policy: Policy) -> timedelta:
    """How long `forgone` may go by the same listing.

    For ever, where a number of nodes may move: who has died since is passed over when the others do not come.
    """
    return LISTING if policy.max_unavailable.percent else timedelta.max


def _has_begun(held: Turn | None) -> bool:
    """Whoever had, and was killed, goes on in a pause, too: its turn would be lost."""
    return held is not None and held.begun


def time_to_switch(turn: timedelta, there_and_back: timedelta) -> timedelta:
    """How long after it was claimed a turn of that length is good for a switch: a trial that comes to nothing should
    end within the turn, and so should the way back from it.

    Where that takes longer than the turn, as in an older release it may, it is only held to come soon.
    """
    return max(turn - there_and_back - SLACK, SLACK)


def give_back(rollout: Rollout, node: str, *, now: datetime) -> Rollout:
    return replace(rollout, turns=_others(rollout, node), changed_at=now)


def _refusal(rollout: Rollout, target: int, *, joining: bool) -> Denied | None:
    """Why nobody gets a turn for `target` here, whoever asks."""
    if rollout.closed:
        return Denied(f"a newer release than {rollout.release} has come")
    if target == rollout.release and rollout.state is State.QUARANTINED:
        return Denied(f"release {target} is quarantined")
    if target != rollout.release and rollout.state is not State.QUARANTINED:
        return Denied(f"release {rollout.release} is the one to go to, not {target}")
    if rollout.paused is not None and not joining:
        return Denied(f"paused by {rollout.paused.by}: {rollout.paused.reason}")
    return None


def _wait(rollout: Rollout, node: str, target: int, live: Collection[str], *, now: datetime) -> Denied | None:
    """Why this node has to wait for others."""
    there = places(rollout, node, live, now=now)
    if there == 0:
        holders = ", ".join(sorted(turn.node for turn in running(rollout, now=now) if turn.node != node))
        return Denied(f"it is the turn of {holders}")
    ahead = queue(rollout, live, now=now) if target == rollout.release else ()
    if ahead and node in _sick(rollout):
        return Denied(f"{ahead[0]} goes first: this node was at fault itself")
    patience = 1 + max(0, (now - rollout.changed_at) // PATIENCE)
    if node in ahead and ahead.index(node) >= there * patience:
        return Denied(f"{ahead[0]} goes first")
    return None


def _others(rollout: Rollout, node: str, *more: Turn) -> tuple[Turn, ...]:
    return (*(turn for turn in rollout.turns if turn.node != node), *more)


def _without_lost(rollout: Rollout, node: str, live: Collection[str], *, now: datetime) -> Rollout:
    """Without the turns that have ended by themselves. Whoever had begun the release and has not come back is held
    against it."""
    over = tuple(turn for turn in rollout.turns if turn.until <= now and turn.node != node)
    if not over:
        return rollout
    rest = tuple(turn for turn in rollout.turns if turn not in over)
    known = {*rollout.moved, *(blame.node for blame in rollout.blames)}
    lost = tuple(
        Blame(turn.node, "it has not come back from its turn", now, lost=True)
        for turn in over
        if turn.begun and not turn.joining and turn.release == rollout.release and turn.node not in known
    )
    # The time of the last change stays: whoever lets its turn pass does not become the one to wait for again.
    return judged(replace(rollout, turns=rest, blames=(*rollout.blames, *lost)), live, now=now)


def time_to_drain(turn: Turn, *, now: datetime) -> timedelta:
    """How long its holder may stay away before it switches: the turn is what keeps the others from going, too."""
    return max(turn.until - now - SLACK, timedelta())


def pause_after(losses: int, chance: float) -> timedelta:
    """How long to leave the record to others after so many lost swaps; `chance` is from 0 to 1.

    Exponential, with full jitter: a hundred that want to change one record at the same time then need a few requests
    each, instead of a hundred (M. Brooker, Exponential Backoff And Jitter, AWS Architecture Blog, 2015).
    """
    longest: timedelta = min(FIRST_PAUSE * 2.0 ** min(losses, 10), LONGEST_PAUSE)
    return chance * longest


# ---- outcomes -------------------------------------------------------------------------------------------------


def moved(
    rollout: Rollout, node: str, live: Collection[str], *, now: datetime, heard: Collection[str] | None = None
) -> Rollout:
    """The node has proven that it serves the release: its turn is over, and what was held against it is forgotten.

    Here and below: `live` are those that may be alive, and `heard` those of them that have reported lately, where that
    is not the same.
    """
    names = rollout.moved if node in rollout.moved else (*rollout.moved, node)
    return judged(replace(_cleared(rollout, node), moved=names, changed_at=now), live, now=now, heard=heard)


def failed(
    rollout: Rollout,
    node: str,
    reason: str,
    log: tuple[str, ...],
    live: Collection[str],
    *,
    now: datetime,
    heard: Collection[str] | None = None,
) -> Rollout:
    """The node is well on another release, and could not serve this one: the release is to blame."""
    blame = Blame(node, reason, now, log[-KEPT_LINES:])
    cleared = _cleared(rollout, node)
    names = tuple(each for each in rollout.moved if each != node)
    changed = replace(cleared, moved=names, blames=(*cleared.blames, blame), changed_at=now)
    return judged(changed, live, now=now, heard=heard)


def sickened(
    rollout: Rollout,
    node: str,
    reason: str,
    live: Collection[str],
    *,
    now: datetime,
    heard: Collection[str] | None = None,
) -> Rollout:
    """The node is not well on any release: it is to blame itself, and the others go on without it. Whoever has said so
    before has been sick since then."""
    since = next((note.at for note in rollout.sick if note.by == node), now)
    cleared = _cleared(rollout, node)
    changed = replace(cleared, sick=(*cleared.sick, Note(node, since, reason)), changed_at=now)
    return judged(changed, live, now=now, heard=heard)


def judged(rollout: Rollout, live: Collection[str], *, now: datetime, heard: Collection[str] | None = None) -> Rollout:
    """With the verdict, when there can be one."""
    if rollout.closed or rollout.state is not State.OPEN:
        return rollout
    there = frozenset(live if heard is None else heard)
    state = _verdict(rollout, frozenset(live), there)
    if state is None:
        return rollout
    reason = (
        _reasons(rollout) if state is State.QUARANTINED else f"{len(there.intersection(rollout.moved))} nodes serve it"
    )
    return replace(rollout, state=state, verdict=Note("the cluster", now, reason))


def _verdict(rollout: Rollout, live: frozenset[str], heard: frozenset[str]) -> State | None:
    """Too many have failed, or of the nodes that are alive each has moved, failed, or is sick.

    Those speak for a release that serve it and are heard; what the dead have served proves nothing. Where more have
    failed than serve it, it is bad, however many may fail: what is proven is what others go back to.

    When some have failed and all others are sick, nobody is left who could speak for the release. Sick nodes alone say
    nothing of it: they go on by themselves once somebody has mended them.
    """
    blamed = {blame.node for blame in rollout.blames}
    shown = sum(1 for blame in rollout.blames if not blame.lost)
    allowed = rollout.policy.max_failures
    # One machine may be switched off at any time, whatever is allowed; not one after the other.
    if shown > allowed or len(blamed) > max(allowed, 1):
        return State.QUARANTINED
    if not live <= {*rollout.moved, *blamed, *_sick(rollout)}:
        return None
    serving, silent = heard.intersection(rollout.moved), live.intersection(rollout.moved) - heard
    against = sum(1 for blame in rollout.blames if not blame.lost and blame.node in live)
    if serving and against <= len(serving):
        return State.PROVEN
    if silent:
        # They may be well, and speak for it; whoever is sure looks again.
        return None
    return State.QUARANTINED if shown or (blamed and live <= blamed) else None


def is_stuck(rollout: Rollout, live: Collection[str], *, now: datetime) -> bool:
    """Whether every node that is alive has been at fault itself for a while: there will be no verdict before somebody
    has mended one."""
    over = rollout.closed or rollout.state is not State.OPEN or rollout.paused is not None
    ill = {note.by for note in rollout.sick if now - note.at >= ILL}
    return bool(live) and not over and set(live) <= ill


def _sick(rollout: Rollout) -> frozenset[str]:
    return frozenset(note.by for note in rollout.sick)


def reviewed(rollout: Rollout, node: str, live: Collection[str], *, now: datetime) -> Rollout:
    """What has become of a rollout in which nobody moves any more: nodes may have died since the last change."""
    return judged(_without_lost(rollout, node, live, now=now), live, now=now)


def leisure(rollout: Rollout) -> timedelta:
    """How long the record may be left unread: what a node must learn without being poked, it learns after this."""
    # One that is quarantined may be pardoned at any time; one that is open may be quarantined.
    return LEISURE if rollout.state is State.PROVEN else timedelta()


def tells_of_newer(rollout: Rollout) -> bool:
    """Whether it is read at each poll, so that the ledger need not be: it is closed when a newer release has come."""
    return not rollout.closed and not leisure(rollout)


def review_is_due(rollout: Rollout, node: str, *, now: datetime) -> bool:
    """Whether it is for `node` to look: those that have had their turn do it, one after the other."""
    if rollout.closed or rollout.state is not State.OPEN:
        return False
    through = {*rollout.moved, *(blame.node for blame in rollout.blames), *_sick(rollout)}
    return node in through and now - rollout.changed_at >= PATIENCE * (1 + sorted(through).index(node))


def concerned(before: Rollout, after: Rollout, live: Collection[str], *, now: datetime) -> frozenset[str]:
    """Whom a change makes look at once: those whose turn has come, or everybody who must go back."""
    if after.state is State.QUARANTINED and before.state is not State.QUARANTINED:
        return frozenset({*after.moved, *(turn.node for turn in after.turns)})
    given_back = len(after.turns) < len(before.turns)
    if after.closed or after.state is not State.OPEN or not given_back:
        return frozenset()
    return frozenset(queue(after, live, now=now)[: places(after, "", live, now=now)])


def _reasons(rollout: Rollout) -> str:
    return "; ".join(f"{blame.node}: {blame.reason}" for blame in rollout.blames)


def _cleared(rollout: Rollout, node: str) -> Rollout:
    return replace(
        rollout,
        turns=_others(rollout, node),
        blames=tuple(blame for blame in rollout.blames if blame.node != node),
        sick=tuple(note for note in rollout.sick if note.by != node),
        once=None if rollout.once is not None and rollout.once.node == node and not rollout.once.done else rollout.once,
    )


# ---- commands that are run once -------------------------------------------------------------------------------


def take_once(rollout: Rollout, node: str, *, now: datetime) -> Rollout | Denied:
    """The commands are this node's to run, until its turn ends."""
    held = rollout.turn(node)
    if held is None or held.until <= now + SLACK:
        return Denied("its turn is over")
    if (denied := _refusal(rollout, rollout.release, joining=held.joining)) is not None:
        return denied
    once = rollout.once
    if once is not None and (once.done or (once.node != node and once.until > now)):
        return Denied(f"{once.node} {'has run' if once.done else 'is running'} the commands that are run once")
    # They have a whole turn's time.
    turn = replace(held, until=now + rollout.policy.turn)
    return replace(rollout, turns=_others(rollout, node, turn), once=Once(node, turn.until), changed_at=now)


def finish_once(rollout: Rollout, node: str, output: tuple[str, ...], *, now: datetime) -> Rollout | Denied:
    if rollout.once is None or rollout.once.node != node:
        return Denied("the commands that are run once have become another's")
    return replace(rollout, once=Once(node, now, done=True, output=output[-KEPT_LINES:]), changed_at=now)


# ---- what people say ------------------------------------------------------------------------------------------


def pause(rollout: Rollout, note: Note) -> Rollout:
    """Nobody gets a turn until somebody resumes. Whoever has begun goes on, and what must go back goes back."""
    return replace(rollout, paused=note, changed_at=note.at)


def resume(rollout: Rollout, note: Note) -> Rollout:
    return replace(rollout, paused=None, resumed=note, changed_at=note.at)


def pardon(rollout: Rollout, note: Note) -> Rollout:
    """The release may be tried again, by everybody, as if nothing had been held against it."""
    state = State.OPEN if rollout.state is State.QUARANTINED else rollout.state
    pardons = (*rollout.pardons, note)
    return replace(
        rollout, state=state, verdict=None, blames=(), sick=(), moved=(), once=None, pardons=pardons, changed_at=note.at
    )
