"""Which node may update now.

- Slots live only in the record of the newest release, whichever release they are for. When a newer release comes, the
  older record is closed first and its running slots are carried over. So all slots always count in one place.
- Claiming a slot is the last change before the switch: once a quarantine or a pause is written, no node gets one. A
  node that has drained since its claim reads the record once more before it switches.
- The number of free slots is computed from the list, never stored. A slot expires by itself.
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

from da_agent.domain import texts
from da_agent.domain.config.strategies import Strategy
from da_agent.domain.rollout import verdicts
from da_agent.domain.rollout.rollouts import PATIENCE, Denied, ReleaseCommandRun, Rollout, Slot, State

SLACK = timedelta(seconds=5)
"""A slot with less than this left is over for its holder: clocks differ, and writing takes a moment."""

LISTING = timedelta(minutes=5)
"""How long one list of live nodes is good for computing a percentage, when a node only finds out that it must wait."""

FIRST_PAUSE = timedelta(seconds=0.1)
"""About the time to read and to write a record; the first pause is up to twice as long."""

LONGEST_PAUSE = timedelta(seconds=5)


def running(rollout: Rollout, *, now: datetime) -> tuple[Slot, ...]:
    """The slots that count: those that have not expired and whose nodes serve."""
    return tuple(slot for slot in rollout.slots if slot.until > now and not slot.joining)


def places(rollout: Rollout, node: str, live: Collection[str], *, now: datetime) -> int:
    """How many slots are free for `node`, its own not counted. Canaries go alone; the others go when the canaries are
    updated.

    `live` are the nodes that have reported lately, even when it is not sure that the others are gone. Otherwise a
    percentage that includes nodes that have died would let more go than should.
    """
    taken = sum(1 for slot in running(rollout, now=now) if slot.node != node)
    # With fewer live nodes than canaries, all go alone, however few have reported lately.
    wanted = 0 if rollout.skip_canary else rollout.strategy.canary
    if rollout.state is State.OPEN and len(rollout.updated) < wanted:
        return max(0, 1 - taken)
    return max(0, rollout.strategy.at_once(len(live)) - taken)


def queue(rollout: Rollout, live: Collection[str], *, now: datetime) -> tuple[str, ...]:
    """The live nodes that are not updated and hold no slot, in the order in which they go."""
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
    """The record with a slot for `node`, or why it gets none.

    Claiming twice is claiming once, but the slot lasts longer, unless the first slot is about to end. `live` are the
    nodes that have reported lately, whether or not that is sure. The claim also begins the slot, unless the release
    command is due: then the slot is claimed again after the release command.

    `joining`: the node does not serve yet, so it takes no other node's place and waits for none. Not `sure`: the store
    was away until now, so no node could report, and a silent node may be healthy.
    """
    held = rollout.slot(node)
    if held is None or held.release != target or held.until <= now or held.joining != joining:
        held = None
    # By a clock that differs, other nodes may take a slot that ends now for expired, and go first.
    free = joining or (held is not None and held.until > now + SLACK)
    before, rollout = rollout.state, verdicts.without_lost(rollout, node, live, now=now) if sure else rollout
    if (denied := _refusal(rollout, target, joining=joining)) is not None:
        # A verdict that follows from expired slots is worth writing. It gives the caller no slot; the caller asks
        # again.
        return denied if rollout.state is before else rollout
    rest = replace(rollout, slots=rollout.slots_without(node))
    if not free and (denied := _wait(rest, node, target, live, now=now)) is not None:
        return denied
    since, until = held.since if held else now, now + rollout.strategy.slot_timeout
    begun = not (target == rollout.release and rollout.release_command_is_due)
    slot = Slot(node, target, reason, since, until, begun=begun, joining=joining)
    return replace(rollout, slots=(*rollout.slots_without(node), slot), changed_at=now)


def forgone(rollout: Rollout, node: str, target: int, live: Collection[str], *, now: datetime) -> Denied | None:
    """Why a claim would be denied, by the record as it was just read, without listing the nodes; None: ask the store.

    `live` are the nodes that were alive a while ago. None as well when an old list may mislead: when the nodes that are
    next do not claim their slots.
    """
    if rollout.slot(node) is not None:
        return None
    if (denied := _refusal(rollout, target, joining=False)) is not None:
        return denied
    stalled = now - rollout.changed_at >= PATIENCE and places(rollout, node, live, now=now) > 0
    return None if stalled else _wait(rollout, node, target, live, now=now)


def listing_lasts(strategy: Strategy) -> timedelta:
    """How long `forgone` may use the same list of live nodes.

    For ever where `max unavailable` is a number of nodes: a node that has died since is passed over when it does not
    claim.
    """
    return LISTING if strategy.max_unavailable.percent else timedelta.max


def give_back(rollout: Rollout, node: str, *, now: datetime) -> Rollout:
    """The record without the slot of `node`; unchanged when it has none."""
    if rollout.slot(node) is None:
        return rollout
    return replace(
        rollout,
        slots=rollout.slots_without(node),
        release_command=rollout.release_command_without(node),
        changed_at=now,
    )


def is_stopped(rollout: Rollout, *, joining: bool) -> bool:
    """Whether no node may switch, whatever slot it has: a newer release has come, or the cluster is paused."""
    return rollout.closed or (rollout.paused is not None and not joining)


def _refusal(rollout: Rollout, target: int, *, joining: bool) -> Denied | None:
    """Why no node gets a slot for `target` here."""
    if rollout.closed:
        return Denied(f"a newer release than {rollout.release} was published")
    if target == rollout.release and rollout.state is State.QUARANTINED:
        return Denied(f"release {target} is quarantined")
    if target != rollout.release and rollout.state is not State.QUARANTINED:
        return Denied(f"the wanted release is {rollout.release}, not {target}")
    if rollout.paused is not None and not joining:
        return Denied(f"paused by {rollout.paused.by}: {rollout.paused.reason}")
    return None


def _wait(rollout: Rollout, node: str, target: int, live: Collection[str], *, now: datetime) -> Denied | None:
    """Why this node has to wait for other nodes."""
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
    """How long after its claim a slot of length `slot` is good for a switch.

    A probation that fails, and the way back from it, should end within the slot. Where the slot is too short for that,
    as in an older release, it is good to its end.
    """
    left = slot - there_and_back - SLACK
    return left if left > 2 * SLACK else slot - SLACK


def time_to_drain(left: timedelta) -> timedelta:
    """How long a node that must switch within `left` may wait for its requests: the switch takes a moment, too."""
    return max(left - SLACK, timedelta())


def pause_after(losses: int, chance: float) -> timedelta:
    """How long to leave the record to other nodes after `losses` lost swaps; `chance` is from 0 to 1.

    Exponential, with full jitter: when a hundred nodes want to change one record at the same time, each then needs a
    few requests instead of a hundred (M. Brooker, Exponential Backoff And Jitter, AWS Architecture Blog, 2015).
    """
    longest: timedelta = min(FIRST_PAUSE * 2.0 ** min(losses, 10), LONGEST_PAUSE)
    return chance * longest


# ---- which node is next ---------------------------------------------------------------------------------------------


def concerned(before: Rollout, after: Rollout, live: Collection[str], *, now: datetime) -> frozenset[str]:
    """The nodes to notify of a change: those that may claim a slot now, or all that must go back."""
    if after.state is State.QUARANTINED and before.state is not State.QUARANTINED:
        return frozenset({*after.updated, *(slot.node for slot in after.slots)})
    given_back = len(after.slots) < len(before.slots)
    if after.closed or after.paused is not None or after.state is not State.OPEN or not given_back:
        return frozenset()
    return frozenset(queue(after, live, now=now)[: places(after, "", live, now=now)])


# ---- the release command --------------------------------------------------------------------------------------------


def take_release_command(rollout: Rollout, node: str, *, now: datetime) -> Rollout | Denied:
    """The record with the release command assigned to `node` until its slot expires, or why it is not."""
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
    # The release command has the whole time of a slot.
    slot = replace(held, until=now + rollout.strategy.slot_timeout)
    return replace(
        rollout,
        slots=(*rollout.slots_without(node), slot),
        release_command=ReleaseCommandRun(node, slot.until),
        changed_at=now,
    )


def finish_release_command(rollout: Rollout, node: str, output: tuple[str, ...], *, now: datetime) -> Rollout | Denied:
    """The record with the release command done and the last lines of its `output`, or why it is not."""
    if rollout.release_command is None or rollout.release_command.node != node:
        return Denied("another node runs the release command by now")
    return replace(
        rollout, release_command=ReleaseCommandRun(node, now, done=True, output=texts.log(output)), changed_at=now
    )
