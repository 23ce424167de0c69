"""The store, the machines, virtual time, and the invariants of design.md, section 6.

One seed and one list of faults give one history, whatever the machine that plays it.
"""

import heapq
import random
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial

from da_agent.domain.config.strategies import Strategy
from da_agent.domain.node import decisions
from da_agent.domain.node.actions import Action, Rehearse, Stage, Switch
from da_agent.domain.node.observations import Observation
from da_agent.domain.node.store_liveness import Nodes
from da_agent.domain.rollout import rollouts
from da_agent.domain.rollout.rollouts import Note, Rollout, Slot, State
from tests.simulation.faults import EPOCH, PATIENCE, POLICY, POLL, Fault, Quality, Steps, StoreFailed, Violation
from tests.simulation.nodes import Node

DRIFT = timedelta(seconds=2)
"""How far what two nodes hold to be the store's clock may lie apart."""

RETRY = timedelta(seconds=60)
"""No node takes up again what it has rejected before this has passed."""

INFINITE = float("inf")

NOTICE = 1.0
"""Seconds: whoever read the record right before it was quarantined has switched by then, or does not any more."""


class World:
    """The store, the machines, virtual time, and the invariants."""

    def __init__(self, seed: int, nodes: int, decide: Callable[[Observation], Action] = decisions.decide) -> None:
        self.random = random.Random(seed)
        self.decide = decide
        self.time = 0.0
        self.clock = EPOCH
        self.ledger: list[Quality] = []
        self.nonces: list[str] = []
        self.acknowledged: dict[int, str] = {}
        self.strategy = POLICY
        self.blind = False
        """A store that ignores conditions: what the conformance record refuses."""
        self.records: dict[int, Rollout] = {}
        self.beats: dict[str, float] = {}
        self.down_until = 0.0
        self.requests = 0
        self.serial = 0
        self.escaping: set[str] = set()
        self.heard_since: dict[str, float] = {}
        self.ever_settled: set[int] = set()
        self.quarantined_at: dict[int, float] = {}
        self.queue: list[tuple[float, int, Callable[[], None]]] = []
        self.nodes: list[Node] = []
        self.out: set[Node] = set()
        for _ in range(nodes):
            self.join()

    # ---- time

    def at(self, time: float, happen: Callable[[], None]) -> None:
        self.serial += 1
        heapq.heappush(self.queue, (time, self.serial, happen))

    def run(self, until: float, done: Callable[[], bool] = lambda: False) -> bool:
        """Let things happen until `done`; whether that came before `until`."""
        while self.queue and self.queue[0][0] <= until:
            self.time, _, happen = heapq.heappop(self.queue)
            self.clock = EPOCH + timedelta(seconds=self.time)
            happen()
            if self.serial % 8 == 0 and done():
                return True
        return done()

    def follow(self, node: Node, process: Steps[None], life: int) -> None:
        if node.life != life or not node.alive:
            return
        if node.hung_until > self.time:
            self.at(node.hung_until, lambda: self.follow(node, process, life))
            return
        delay = next(process)
        self.look_for_violations(node)
        self.at(self.time + delay, lambda: self.follow(node, process, life))

    # ---- machines

    def join(self) -> None:
        node = Node(self, f"web-{len(self.nodes) + 1}", len(self.nodes))
        self.nodes.append(node)
        self.begin(node, self.random.uniform(0, 1))

    def begin(self, node: Node, after: float) -> None:
        """A new process of the agent on the node's disk, as it is."""
        node.reset()
        process, life = node.run(), node.life
        self.at(self.time + after, lambda: self.follow(node, process, life))

    def happen(self, fault: Fault) -> None:
        node = self.nodes[fault.node % len(self.nodes)]
        getattr(self, f"_{fault.kind}")(node, fault)

    def _push(self, _: Node, fault: Fault) -> None:
        process = self.publish(fault)
        self.at(self.time, partial(self.go_on, process))

    def go_on(self, process: Steps[None]) -> None:
        for delay in process:
            self.at(self.time + delay, partial(self.go_on, process))
            return

    def publish(self, fault: Fault) -> Steps[None]:
        """What an admin's push does: append, and after a reply that got lost look whose release is there."""
        self.serial += 1
        nonce, lost = f"push-{self.serial}", fault.node % 2 == 1
        while True:
            yield self.random.uniform(0.005, 0.05)
            number = len(self.ledger) + 1
            yield self.random.uniform(0.005, 0.2)
            won = self.append(number, nonce, fault.quality)
            yield self.random.uniform(0.005, 0.05)
            if lost:
                lost = False
                won = not self.blind and self.nonces[number - 1] == nonce
            if won:
                self.acknowledged[number] = nonce
                # Some are killed here, and some find that the store is away.
                if self.random.random() < 0.8:
                    with suppress(StoreFailed):
                        yield from Node(self, "desk", -1).open(number)
                return

    def append(self, number: int, nonce: str, quality: Quality) -> bool:
        if number <= len(self.ledger) and not self.blind:
            return False
        self.ledger[number - 1 :] = [quality]
        self.nonces[number - 1 :] = [nonce]
        return True

    def _kill(self, node: Node, fault: Fault) -> None:
        """The process of the agent alone; supervisor starts it again."""
        if node.alive:
            self.begin(node, 0.5 + fault.seconds / 60)

    def _stop(self, node: Node, fault: Fault) -> None:
        """The process of the agent is told to end, and there is another one after a while; soon, in a probation."""
        if not node.alive:
            return
        if node.disk.node_state.probation is not None:
            self._kill(node, fault)
            return
        node.let_come()
        if node.rollout is not None:
            last = Node(self, node.name, node.number)
            last.rollout, last.cut_until, last.slow_until = node.rollout, node.cut_until, node.slow_until
            self.at(self.time, partial(self.go_on, last.leave()))
        node.stopped_until = self.time + 2 + fault.seconds
        self.begin(node, 2 + fault.seconds)

    def _power(self, node: Node, fault: Fault) -> None:
        """The machine goes off, and comes back after a while."""
        if not node.alive:
            return
        node.alive, node.left_at = False, self.time
        node.life += 1
        node.disk.serving = None
        self.at(self.time + 5 + fault.seconds, lambda: self._return(node))

    def _gone(self, node: Node, _: Fault) -> None:
        """The machine goes off for ever; somebody is always left."""
        if sum(1 for each in self.nodes if each.alive) > 1:
            node.alive, node.left_at = False, self.time
            node.gone = True
            node.life += 1

    def _return(self, node: Node) -> None:
        if not node.alive and not node.gone:
            node.alive = node.frozen = True
            self.begin(node, 0.1)

    def _hang(self, node: Node, fault: Fault) -> None:
        node.hung_until = max(node.hung_until, self.time + fault.seconds)
        node.frozen = True

    def _cut(self, node: Node, fault: Fault) -> None:
        node.cut_until = max(node.cut_until, self.time + fault.seconds)

    def _slow(self, node: Node, fault: Fault) -> None:
        """The store takes long to answer it."""
        node.slow_until = max(node.slow_until, self.time + fault.seconds)

    def _store(self, _: Node, fault: Fault) -> None:
        self.down_until = max(self.down_until, self.time + fault.seconds / 4)

    def _outage(self, _: Node, fault: Fault) -> None:
        """For so long that everybody's report is old, and every turn over."""
        self.down_until = max(self.down_until, self.time + fault.seconds)

    def _lose(self, node: Node, _: Fault) -> None:
        node.lost_replies += 1

    def _crash(self, node: Node, _: Fault) -> None:
        """The web server dies; what it was loading is gone."""
        node.disk.serving = None

    def _incident(self, node: Node, _: Fault) -> None:
        node.incidents += 1

    def _full(self, node: Node, fault: Fault) -> None:
        """Nothing new fits on its disk."""
        node.full_until = max(node.full_until, self.time + fault.seconds)

    def _spent(self, node: Node, _: Fault) -> None:
        """Nothing new will ever fit on its disk."""
        node.full_until = float("inf")

    def _stall(self, node: Node, fault: Fault) -> None:
        """It stands still between the beginning of its next turn and the switch."""
        node.stall = fault.seconds

    def _join(self, _node: Node, _fault: Fault) -> None:
        if len(self.nodes) < 12:
            self.join()

    def _pause(self, _: Node, fault: Fault) -> None:
        self.say(lambda record: rollouts.pause(record, Note("admin", self.clock, "maintenance")))
        self.at(self.time + fault.seconds, self._resume)

    def _resume(self) -> None:
        if len(self.ledger) not in self.records:
            self.at(self.time + 1, self._resume)
            return
        self.say(lambda record: rollouts.resume(record, Note("admin", self.clock, "done")))

    def _retry(self, _node: Node, _fault: Fault) -> None:
        """What is not quarantined cannot be retried."""
        note = Note("admin", self.clock, "the database is back")
        self.say(lambda record: rollouts.retry(record, note) if record.state is State.QUARANTINED else record)

    def say(self, change: Callable[[Rollout], Rollout]) -> None:
        record = self.records.get(len(self.ledger))
        if record is not None:
            self.swap(record, change(record))

    # ---- the store

    def listed(self, node: Node) -> Nodes:
        """As `node` sees them, which is alive itself."""
        lately = frozenset(name for name, at in self.beats.items() if self.time - at <= PATIENCE)
        return Nodes(lately | {node.name}, frozenset(self.beats) | {node.name})

    def beat(self, node: Node) -> None:
        if not self.is_heard(node):
            self.heard_since[node.name] = self.time
        self.beats[node.name] = self.time

    def create(self, number: int, record: Rollout) -> bool:
        if number in self.records:
            return False
        self.records[number] = self.stamped(record, 0)
        return True

    def swap(self, before: Rollout, after: Rollout) -> bool:
        there = self.records[before.release]
        if there.nonce != before.nonce:
            return False
        if before.state is State.QUARANTINED:
            begun = {slot.node for slot in before.slots if slot.begun and slot.release == before.release}
            for slot in after.slots:
                if slot.begun and slot.release == before.release and slot.node not in begun and not after.retries:
                    raise Violation(f"{slot.node} begins release {before.release}, which is quarantined")
        self.look_for_slander(before, after)
        self.look_at_turns(before, after)
        self.look_at_once(before, after)
        self.look_at_verdict(before, after)
        if after.state is not before.state:
            self.quarantined_at[after.release] = self.time if after.state is State.QUARANTINED else INFINITE
        self.records[before.release] = self.stamped(after, before.generation)
        return True

    def look_for_slander(self, before: Rollout, after: Rollout) -> None:
        """Nobody is held to be lost who is well and has only not been heard, as the store was away."""
        lost = {failure.node for failure in after.failures if failure.lost} - {
            failure.node for failure in before.failures
        }
        for node in self.nodes if lost else ():
            # One that was cut off alone, or nearly so, has had its chance to speak when it has polled twice.
            apart = max(node.cut_until, node.slow_until, node.stopped_until)
            well = node.alive and not node.frozen and self.time > apart + 2 * POLL
            if well and node.name in lost:
                raise Violation(f"at {self.time:.1f} s {node.name} is held to be lost, and is well")

    def stamped(self, record: Rollout, generation: int) -> Rollout:
        self.serial += 1
        return replace(record, generation=generation + 1, nonce=str(self.serial))

    def fallback(self, head: int) -> int | None:
        """Found by looking at every record: each must have told the next one what there is to go back to."""
        numbers = [number for number in range(head - 1, 0, -1) if number in self.records]
        proven = (number for number in numbers if self.records[number].state is State.STABLE)
        fit = [number for number in numbers if self.records[number].state is not State.QUARANTINED]
        served = (number for number in fit if self.records[number].updated)
        return next(proven, next(served, next(iter(fit), None)))

    # ---- the invariants

    def switched(self, node: Node, number: int) -> None:
        if number not in node.disk.staged:
            raise Violation(f"{node.name} switches to release {number}, which it has not staged")
        record = self.records.get(len(self.ledger))
        late = self.time - self.quarantined_at.get(number, INFINITE) > NOTICE
        knew = late and max(node.hung_until, node.slow_until) < node.read_at
        if knew and record is not None and number == record.release:
            raise Violation(f"{node.name} switches to release {number}, which is quarantined")
        left = node.disk.node_state.live if node.disk.current == number else node.disk.current
        # What it has just read is what counts: a retry of the newest may come in the moment between.
        known = (
            node.rollout if self.time - node.read_at < 5 or (node.rollout and node.rollout.release != left) else None
        )
        quarantined = known is not None and number != known.release and rollouts.is_bad(known, left)
        if quarantined:
            self.escaping.add(node.name)
        else:
            self.escaping.discard(node.name)
        newest = self.records.get(number)
        if newest is None or newest.state is State.STABLE or quarantined:
            return
        slot = record.slot(node.name) if record is not None else None
        if record is None or number != record.release:
            return
        if slot is not None and slot.until <= self.clock:
            raise Violation(f"{node.name} switches to release {number} after its turn")
        if slot is None or not slot.begun:
            raise Violation(f"{node.name} switches to release {number} without having begun it")

    def look_for_rejected(self, node: Node, action: Action) -> None:
        """What a node has rejected it does not take up again before its time, unless it is retried meanwhile."""
        if not isinstance(action, (Stage, Rehearse, Switch)):
            return
        failure = node.disk.node_state.rejection(action.release)
        if failure is None or not timedelta() <= node.now - failure.at < RETRY:
            return
        retried = node.rollout is not None and len(node.rollout.retries) > failure.retries
        if not retried:
            raise Violation(f"{node.name} takes up release {action.release} before its time: {action}")

    def state(self, number: int) -> State | None:
        record = self.records.get(number)
        return None if record is None else record.state

    def settled(self, node: Node) -> None:
        assert node.disk.current is not None
        self.ever_settled.add(node.disk.current)

    def look_at_turns(self, before: Rollout, after: Rollout) -> None:
        """A turn is given only where it may be: not in a pause, and to nobody else before the canary has moved."""
        given = [slot for slot in after.slots if not slot.joining and self.is_new(slot, before.slot(slot.node))]
        if given and before.paused is not None:
            raise Violation(f"{given[0].node} gets a turn for release {given[0].release} in a pause")
        running = [slot for slot in after.slots if slot.until > self.clock + DRIFT and not slot.joining]
        early = after.state is State.OPEN and len(before.updated) < self.strategy.canary
        if given and early and len(running) > 1:
            raise Violation(f"{given[0].node} gets a turn for release {after.release} before the canary has moved")

    def is_new(self, slot: Slot, held: Slot | None) -> bool:
        """Whether it is given, begun, or given again now; not whether it lasts longer."""
        if held is None or held.release != slot.release or slot.begun > held.begun:
            return True
        return slot.until > held.until and held.until <= self.clock - DRIFT

    def look_at_once(self, before: Rollout, after: Rollout) -> None:
        """Nobody runs the commands that are run once while another may, or where nobody gets a turn."""
        old, new = before.release_command, after.release_command
        if new is None or new.done or (old is not None and old.node == new.node and old.until >= new.until):
            return
        if before.paused is not None or before.state is State.QUARANTINED or before.closed:
            raise Violation(f"{new.node} runs the commands that are run once for release {after.release}, and may not")
        if old is not None and (old.done or (old.node != new.node and old.until > self.clock + DRIFT)):
            raise Violation(
                f"{new.node} runs the commands that are run once for release {after.release} after {old.node}"
            )

    def look_at_verdict(self, before: Rollout, after: Rollout) -> None:
        """One is quarantined for too many failures, or in the end; never for fewer while others could still move. It is
        stable by somebody who serves it."""
        if after.state is before.state:
            return
        if after.state is State.STABLE:
            if not any(
                node.alive or node.left_at > self.time - PATIENCE for node in self.nodes if node.name in after.updated
            ):
                raise Violation(f"release {after.release} is stable, and nobody who is alive serves it")
            return
        if after.state is not State.QUARANTINED:
            return
        said = {*after.updated, *(failure.node for failure in after.failures), *(note.by for note in after.unhealthy)}
        # Whoever judges has listed the nodes a moment ago.
        moment = 2 * PATIENCE if any(node.slow_until > self.time - PATIENCE for node in self.nodes) else POLL
        listed = [
            node for node in self.nodes if self.is_heard(node) and self.time - self.heard_since[node.name] > moment
        ]
        left = [node.name for node in listed if node.alive and node.name not in said]
        if left and len(after.failures) <= self.strategy.max_failures:
            raise Violation(
                f"release {after.release} is quarantined for {len(after.failures)} failures, {left} to come"
            )

    def is_heard(self, node: Node) -> bool:
        return self.time - self.beats.get(node.name, -PATIENCE) < PATIENCE / 2

    def look_for_violations(self, stepped: Node) -> None:
        """After each step of a node. The share is of those that were alive when the turns were given."""
        if not stepped.out:
            self.out.discard(stepped)
            return
        if stepped in self.out:
            return
        self.out.add(stepped)
        out = sorted(node.name for node in self.out if node.alive and not node.frozen and node.out)
        lately = self.time - PATIENCE - 2 * self.strategy.slot_timeout.total_seconds()
        there = sum(1 for node in self.nodes if node.alive or node.left_at > lately)
        if len(out) > self.strategy.at_once(there):
            raise Violation(f"at {self.time:.1f} s {', '.join(out)} are out of service at the same time")

    def look_for_losses(self) -> None:
        for number, nonce in self.acknowledged.items():
            if self.nonces[number - 1 : number] != [nonce]:
                raise Violation(f"release {number} was acknowledged, and is another one now")
        if len(set(self.nonces)) != len(self.nonces):
            raise Violation("one release has two numbers")

    def whole(self) -> bool:
        """Every machine serves the release that it should, and the rollout has its verdict."""
        record = self.records.get(len(self.ledger))
        if not self.ledger or record is None or record.state is State.OPEN:
            return False
        head = len(self.ledger)
        right = head if record.state is State.STABLE else self.fallback(head)
        up = [node for node in self.nodes if node.alive]
        return all(
            node.disk.serving == right and node.disk.node_state.probation is None and not node.disk.draining
            for node in up
        )


def play(
    seed: int,
    nodes: int,
    faults: Iterable[Fault],
    *,
    decide: Callable[[Observation], Action] = decisions.decide,
    blind: bool = False,
    strategy: Strategy = POLICY,
    patience: float = 3600.0,
) -> World:
    """Let the faults happen to a cluster that serves release 1; Violation unless it ends whole."""
    world = World(seed, nodes, decide)
    world.blind = blind
    world.strategy = strategy
    world.append(1, "first", Quality.GOOD)
    if not world.run(600, world.whole):
        raise Violation(f"the first release is not served everywhere: {world.records}")
    start, end = world.time, world.time
    for fault in faults:
        world.at(start + fault.at, partial(world.happen, fault))
        end = max(end, start + fault.at + fault.seconds + 6)
    world.run(end)
    world.look_for_losses()
    if not world.run(end + patience, world.whole):
        raise Violation(f"not whole {patience} s after the last fault: {describe(world)}")
    return world


def play_first_start(
    seed: int,
    nodes: int,
    quality: Quality = Quality.UNFIT,
    *,
    decide: Callable[[Observation], Action] = decisions.decide,
) -> World:
    """Machines with nothing on their disks find two releases that cannot be served, and a good one comes late."""
    world = World(seed, nodes, decide)
    for number in (1, 2):
        world.append(number, f"bad-{number}", quality)
    world.at(150, partial(world.happen, Fault(150, "push")))
    world.run(151)
    if not world.run(1200, world.whole):
        raise Violation(f"the good release is not served everywhere: {describe(world)}")
    return world


def describe(world: World) -> str:
    record = world.records.get(len(world.ledger))
    nodes = "; ".join(
        f"{node.name} {'on' if node.alive else 'off'} serves {node.disk.serving} at {node.disk.current}, node state"
        f" {node.disk.node_state}, denied {node.denied}, draining {node.disk.draining}"
        for node in world.nodes
    )
    return f"{record}; {nodes}"
