"""Who may move now.

- Turns live in the record of the newest release alone, whichever release they are for. When a newer release comes, the
  older record is closed first, and the turns that still run are carried over: they always count in one place.
- Claiming a turn is the last change before the switch: once a quarantine or a pause is written, nobody gets one.
  Whoever has drained since then reads the record once more before it switches.
- How many turns are free is computed from the list, never stored. A turn ends by itself.
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

from da_agent.domain.config.strategies import Strategy
from da_agent.domain.rollout import verdicts
from da_agent.domain.rollout.rollouts import KEPT_LINES, PATIENCE, Denied, ReleaseCommandRun, Rollout, Slot, State

SLACK = timedelta(seconds=5)
"""A turn with less than this left is over for its holder: clocks differ, and writing takes a moment."""

LISTING = timedelta(minutes=5)
"""How long a share is taken of those that were alive, to see by that it is not yet one's turn."""

FIRST_PAUSE = timedelta(seconds=0.1)
"""About what it takes to read a record and to write it; the first pause is up to twice as long."""

LONGEST_PAUSE = timedelta(seconds=5)


def running(rollout: Rollout, *, now: datetime) -> tuple[Slot, ...]:
    """The turns that count."""
    return tuple(slot for slot in rollout.slots if slot.until > now and not slot.joining)


def places(rollout: Rollout, node: str, live: Collection[str], *, now: datetime) -> int:
    """How many turns are free for `node`, its own not counted: canaries go alone, the others when those have moved.

    `live` are those that have been heard lately, also where nobody is sure that the others are gone: a share of those
    that have died since would let more go than are left.
    """
    taken = sum(1 for slot in running(rollout, now=now) if slot.node != node)
    # However few are heard at the moment: where there are fewer than canaries, all go alone.
    wanted = 0 if rollout.skip_canary else rollout.strategy.canary
    if rollout.state is State.OPEN and len(rollout.updated) < wanted:
        return max(0, 1 - taken)
    return max(0, rollout.strategy.at_once(len(live)) - taken)


def queue(rollout: Rollout, live: Collection[str], *, now: datetime) -> tuple[str, ...]:
    """The live nodes that have still to move and hold no turn, in the order in which they go."""
    busy = {slot.node for slot in rollout.slots if slot.until > now}
    out = {*rollout.updated, *busy, *(failure.node for failure in rollout.failures), *rollout.unhealthy_nodes}
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
    held = rollout.slot(node)
    if held is None or held.release != target or held.until <= now or held.joining != joining:
        held = None
    # Others, whose clocks differ, may hold one that ends now to be over: they may go first then.
    free = joining or (held is not None and held.until > now + SLACK)
    before, rollout = rollout.state, verdicts.without_lost(rollout, node, live, now=now) if sure else rollout
    if (denied := _refusal(rollout, target, joining=joining)) is not None:
        # What was found on the way is worth writing: the caller has no turn in it, and asks again.
        return denied if rollout.state is before else rollout
    rest = replace(rollout, slots=rollout.slots_without(node))
    if not free and (denied := _wait(rest, node, target, live, now=now)) is not None:
        return denied
    since, until = held.since if held else now, now + rollout.strategy.slot_timeout
    begun = not (target == rollout.release and rollout.release_command_is_due)
    slot = Slot(node, target, reason, since, until, begun=begun, joining=joining)
    return replace(rollout, slots=(*rollout.slots_without(node), slot), changed_at=now)


def forgone(rollout: Rollout, node: str, target: int, live: Collection[str], *, now: datetime) -> Denied | None:
    """Why it would be in vain to ask for a turn: the record, as it was just read, tells, and nobody need be listed.

    `live` are the nodes that were alive a while ago. None when that may matter: those whose turn it is do not claim it.
    """
    if rollout.slot(node) is not None:
        return None
    if (denied := _refusal(rollout, target, joining=False)) is not None:
        return denied
    stalled = now - rollout.changed_at >= PATIENCE and places(rollout, node, live, now=now) > 0
    return None if stalled else _wait(rollout, node, target, live, now=now)


def listing_lasts(strategy: Strategy) -> timedelta:
    """How long `forgone` may go by the same listing.

    For ever, where a number of nodes may move: who has died since is passed over when the others do not come.
    """
    return LISTING if strategy.max_unavailable.percent else timedelta.max


def give_back(rollout: Rollout, node: str, *, now: datetime) -> Rollout:
    """Unchanged when it has none."""
    if rollout.slot(node) is None:
        return rollout
    return replace(
        rollout,
        slots=rollout.slots_without(node),
        release_command=rollout.release_command_without(node),
        changed_at=now,
    )


def is_stopped(rollout: Rollout, *, joining: bool) -> bool:
    """Whether nobody should switch, whatever turn it has: a newer release has come, or all is paused."""
    return rollout.closed or (rollout.paused is not None and not joining)


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
        holders = ", ".join(sorted(slot.node for slot in running(rollout, now=now) if slot.node != node))
        return Denied(f"updating: {holders}")
    ahead = queue(rollout, live, now=now) if target == rollout.release else ()
    if ahead and node in rollout.unhealthy_nodes:
        return Denied(f"{ahead[0]} goes first: this node was unhealthy")
    patience = 1 + max(0, (now - rollout.changed_at) // PATIENCE)
    if node in ahead and ahead.index(node) >= there * patience:
        return Denied(f"{ahead[0]} goes first")
    return None


# ---- how long -------------------------------------------------------------------------------------------------------


def time_to_switch(slot: timedelta, there_and_back: timedelta) -> timedelta:
    """How long after it was claimed a turn of that length is good for a switch: a probation that comes to nothing
    should
    end within the turn, and so should the way back from it.

    Where the turn is too short for that, as it may be in an older release, it is good to its end.
    """
    left = slot - there_and_back - SLACK
    return left if left > 2 * SLACK else slot - SLACK


def time_to_drain(left: timedelta) -> timedelta:
    """How long whoever has to switch within `left` may wait for its requests: the switch takes a moment, too."""
    return max(left - SLACK, timedelta())


def pause_after(losses: int, chance: float) -> timedelta:
    """How long to leave the record to others after so many lost swaps; `chance` is from 0 to 1.

    Exponential, with full jitter: a hundred that want to change one record at the same time then need a few requests
    each, instead of a hundred (M. Brooker, Exponential Backoff And Jitter, AWS Architecture Blog, 2015).
    """
    longest: timedelta = min(FIRST_PAUSE * 2.0 ** min(losses, 10), LONGEST_PAUSE)
    return chance * longest


# ---- whose turn has come --------------------------------------------------------------------------------------------


def concerned(before: Rollout, after: Rollout, live: Collection[str], *, now: datetime) -> frozenset[str]:
    """Whom a change makes look at once: those whose turn has come, or everybody who must go back."""
    if after.state is State.QUARANTINED and before.state is not State.QUARANTINED:
        return frozenset({*after.updated, *(slot.node for slot in after.slots)})
    given_back = len(after.slots) < len(before.slots)
    if after.closed or after.paused is not None or after.state is not State.OPEN or not given_back:
        return frozenset()
    return frozenset(queue(after, live, now=now)[: places(after, "", live, now=now)])


# ---- commands that are run once -------------------------------------------------------------------------------------


def take_release_command(rollout: Rollout, node: str, *, now: datetime) -> Rollout | Denied:
    """The commands are this node's to run, until its turn ends."""
    held = rollout.slot(node)
    if held is None or held.until <= now + SLACK:
        return Denied("its slot has expired")
    if (denied := _refusal(rollout, rollout.release, joining=held.joining)) is not None:
        return denied
    release_command = rollout.release_command
    if release_command is not None and (
        release_command.done or (release_command.node != node and release_command.until > now)
    ):
        return Denied(
            f"{release_command.node} {'has run' if release_command.done else 'is running'} the release command"
        )
    # They have a whole turn's time.
    slot = replace(held, until=now + rollout.strategy.slot_timeout)
    return replace(
        rollout,
        slots=(*rollout.slots_without(node), slot),
        release_command=ReleaseCommandRun(node, slot.until),
        changed_at=now,
    )


def finish_release_command(rollout: Rollout, node: str, output: tuple[str, ...], *, now: datetime) -> Rollout | Denied:
    if rollout.release_command is None or rollout.release_command.node != node:
        return Denied("the commands that are run once have become another's")
    return replace(
        rollout, release_command=ReleaseCommandRun(node, now, done=True, output=output[-KEPT_LINES:]), changed_at=now
    )
