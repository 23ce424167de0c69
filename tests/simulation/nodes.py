"""One machine of a cluster in virtual time: `decide` and the rollout's own functions drive it."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from da_agent.domain.application.readiness import Answer, Wanted, Worker
from da_agent.domain.node import actions, targets
from da_agent.domain.node.actions import Action
from da_agent.domain.node.evidence import Evidence
from da_agent.domain.node.node_health import NodeHealth
from da_agent.domain.node.node_states import NodeState
from da_agent.domain.node.observations import Cluster, Observation, Releases, WebServer
from da_agent.domain.node.preparations import Preparations
from da_agent.domain.node.probation_watch import ProbationWatch
from da_agent.domain.node.record_entries import is_excused
from da_agent.domain.node.reports import Phase
from da_agent.domain.node.slot_use import SlotUse
from da_agent.domain.node.store_liveness import Nodes, StoreLiveness
from da_agent.domain.rollout import rollouts, slots, verdicts
from da_agent.domain.rollout.rollouts import Denied, Rollout, State
from da_agent.workflows.node.converger import PHASES
from tests.simulation.faults import (
    HEARTBEAT,
    MIN_HEALTHY,
    POLL,
    START,
    Fault,
    NodeFailed,
    Quality,
    Steps,
    StoreFailed,
    T,
    Violation,
)

if TYPE_CHECKING:
    from tests.simulation.worlds import World


@dataclass(slots=True)
class Disk:
    """What outlives a process of the agent."""

    current: int | None = None
    node_state: NodeState = field(default_factory=NodeState)
    staged: set[int] = field(default_factory=set)
    draining: bool = False
    serving: int | None = None
    """What the web server's processes serve; None when it does not run."""
    pid: int = 1


class Node:
    """One machine: its disk, and the process of the agent that lives on it at the moment."""

    def __init__(self, world: "World", name: str, number: int) -> None:
        self.world = world
        self.name = name
        self.number = number
        self.disk = Disk()
        self.alive = True
        self.gone = False
        self.left_at = -1e9
        self.hung_until = 0.0
        self.frozen = False
        """The machine stood still or was off, perhaps for longer than its turn: that is no rollout's fault."""
        self.cut_until = 0.0
        self.slow_until = 0.0
        self.stopped_until = 0.0
        self.full_until = 0.0
        self.stall = 0.0
        self.lost_replies = 0
        self.incidents = 0
        """Switcher that fail here whatever the release is like."""
        self.skew = timedelta(seconds=world.random.uniform(-600, 600))
        self.drift = timedelta(seconds=world.random.uniform(-1, 1))
        self.life = 0
        self._acts = self._handlers()
        self.served = False
        """Whether somebody was served by it when its probation began."""
        self.reset()

    def reset(self) -> None:
        """A new process: it knows what is on the disk, and nothing else."""
        self.life += 1
        self.rollout: Rollout | None = None
        self.fallback: int | None = None
        self.others: int | None = None
        self.phase = Phase.STARTING
        self.denied: str | None = None
        self.offered: set[int] = set()
        self.preparations = Preparations()
        self.slot_use = SlotUse()
        self.evidence = Evidence()
        self.watch = ProbationWatch()
        self.health = NodeHealth()
        self.needs_slot = False
        self.hands_back = False
        self.store_liveness = StoreLiveness()
        self.beat_at = self.looked_at = self.read_at = self.asked_at = self.counted_at = -1e9
        self.listed_at = float("-inf")
        self.listed: frozenset[str] = frozenset()

    # ---- what it sees

    @property
    def now(self) -> datetime:
        return self.world.clock + self.skew

    @property
    def elapsed(self) -> timedelta:
        """The monotonic clock."""
        return timedelta(seconds=self.world.time)

    @property
    def at(self) -> datetime:
        return self.world.clock + self.drift

    def workers(self) -> frozenset[Worker]:
        return frozenset() if self.disk.serving is None else frozenset((Worker(self.disk.pid, 0.0),))

    def observe(self) -> Observation:
        disk = self.disk
        cluster = None
        if self.rollout is not None:
            cluster = Cluster(self.name, self.at, self.rollout, self.fallback, self.others, self.denied)
        return Observation(
            now=self.now,
            elapsed=self.elapsed,
            node_state=disk.node_state,
            cluster=cluster,
            releases=Releases(tuple(self.offered), frozenset(disk.staged), disk.current),
            web=WebServer(disk.serving is not None, self.workers(), disk.draining),
            preparations=self.preparations,
            slot_use=self.slot_use,
            evidence=self.evidence,
            watch=self.watch,
            health=self.health,
        )

    # ---- what it does

    def run(self) -> Steps[None]:
        while True:
            try:
                yield from self.look()
            except StoreFailed:
                self.rollout = self.others = None
            with contextlib.suppress(StoreFailed):
                try:
                    yield from self.converge()
                except StoreFailed:
                    self.let_come()
                except NodeFailed as failed:
                    self.let_come()
                    yield from self.complain(str(failed))
            yield 1.0 if self.hands_back else POLL * self.world.random.uniform(0.8, 1.2)

    def converge(self) -> Steps[None]:
        self.health, self.slot_use = self.health.resumed(), self.slot_use.resumed()
        self.hands_back = False
        for _ in range(500):
            seen = self.observe()
            action = self.world.decide(seen)
            self.needs_slot = isinstance(action, actions.Switch) and seen.slot_use.allows(action.release, seen.elapsed)
            self.world.look_for_rejected(self, action)
            yield from self.report(PHASES.get(type(action), self.phase))
            if isinstance(action, actions.Idle):
                yield from self.report(Phase.SERVING)
                self.frozen = False
                self.health = self.health.cleared()
                return
            yield from self.act(action)
            if self.has_rejected(seen.node_state):
                self.hands_back = True
                return
        raise Violation(f"{self.name} never comes to rest: {action}")

    def has_rejected(self, before: NodeState) -> bool:
        """Whether it has given up a release and has nothing to serve: it asks the store again."""
        node_state = self.disk.node_state
        new = any(each not in before.rejected for each in node_state.rejected)
        return node_state.probation is None and node_state.live is None and new

    def let_come(self) -> None:
        """Whoever cannot go on with its turn lets people come again."""
        if self.disk.node_state.probation is None:
            self.disk.draining, self.slot_use = False, self.slot_use.after_undrain()

    def leave(self) -> Steps[None]:
        with contextlib.suppress(StoreFailed):
            yield from self.do_give_back(actions.GiveBack())

    def report(self, phase: Phase) -> Steps[None]:
        """A report, when there is something new."""
        if phase is not self.phase:
            self.phase = phase
            with contextlib.suppress(StoreFailed):
                yield from self.call(lambda: self.world.beat(self))
                self.beat_at = self.world.time

    def complain(self, reason: str) -> Steps[None]:
        """The others need not wait for it."""
        self.health = self.health.broken(reason)
        cluster = self.observe().cluster
        if cluster is not None and not is_excused(cluster):
            yield from self.do_tell_sick(actions.TellUnhealthy(reason))

    def act(self, action: Action) -> Steps[None]:
        yield self.world.random.uniform(0.01, 0.2)
        yield from self._acts[type(action)](action)

    def look(self) -> Steps[None]:
        """What the follower does once in each cycle."""
        if self.world.time - self.beat_at >= HEARTBEAT:
            yield from self.call(lambda: self.world.beat(self))
            self.beat_at = self.world.time
        known = self.rollout
        if known is not None and self.is_told_of_newer:
            # Whoever appends closes the record that is read.
            record = yield from self.read(known.release)
            assert record is not None
            if not record.closed:
                self.take(record, known.release)
                return
        head = yield from self.call(lambda: len(self.world.ledger))
        self.counted_at = self.world.time
        if head == 0:
            return
        if known is not None and known.release == head and self.denied is None:
            read_period = rollouts.read_period(known)
            if self.world.time - self.looked_at < read_period.total_seconds():
                return
        record = yield from self.call(lambda: self.world.records.get(head))
        if record is None:
            record = yield from self.open(head)
        self.take(record, head)

    @property
    def is_told_of_newer(self) -> bool:
        known, recent = self.rollout, self.world.time - self.counted_at < rollouts.READ_PERIOD.total_seconds()
        return known is not None and rollouts.tells_of_newer(known) and recent

    def take(self, record: Rollout, head: int) -> None:
        """What it goes by from now on."""
        known = self.rollout
        self.looked_at = self.read_at = self.world.time
        assert record.past is not None
        self.fallback = record.past.way_back
        if known != record or self.world.time - self.asked_at >= rollouts.PATIENCE.total_seconds():
            self.denied = None
        self.rollout = record
        self.offered = {number for number in (head, self.fallback) if number is not None}

    def open(self, head: int) -> Steps[Rollout]:
        """Close the record before, then create the new one: whoever is first."""
        before: list[Rollout] = []
        missing = []
        for number in range(head - 1, 0, -1):
            found = yield from self.close(number)
            if found is not None:
                before.append(found)
                break
            missing.append(number)
        for number in (*reversed(missing), head):
            made = rollouts.opened(number, self.world.strategy, before, now=self.at)
            made = made if number == head else rollouts.closed(made, now=self.at)
            yield from self.call(partial(self.world.create, number, made))
            there = yield from (self.close(number) if number != head else self.read(number))
            assert there is not None
            before = [there]
        return before[0]

    def read(self, number: int) -> Steps[Rollout | None]:
        return (yield from self.call(lambda: self.world.records.get(number)))

    def close(self, number: int) -> Steps[Rollout | None]:
        while True:
            record = yield from self.read(number)
            if record is None or record.closed:
                return record
            closed = rollouts.closed(record, now=self.at)
            if (yield from self.call(partial(self.world.swap, record, closed))):
                return closed

    def call(self, effect: Callable[[], T]) -> Steps[T]:
        """One request to the store: it takes a moment before and after, and either part may fail."""
        world = self.world
        yield self.moment()
        if world.time < self.cut_until or world.time < world.down_until:
            self.store_liveness = self.store_liveness.broken()
            raise StoreFailed
        world.requests += 1
        result = effect()
        yield self.moment()
        if self.lost_replies:
            self.lost_replies -= 1
            self.cut_until = max(self.cut_until, world.time)
            self.store_liveness = self.store_liveness.broken()
            raise StoreFailed
        self.store_liveness = self.store_liveness.heard(timedelta(seconds=world.time))
        return result

    def moment(self) -> float:
        """How long one half of a request takes."""
        if self.world.time < self.slow_until:
            return self.world.random.choice((0.3, 1, 2.5))
        return self.world.random.uniform(0.005, 0.05)

    @property
    def sure(self) -> bool:
        return self.store_liveness.is_sure(timedelta(seconds=self.world.time))

    def change(
        self, make: Callable[[Rollout, Nodes], Rollout | Denied], *, lists: bool = False
    ) -> Steps[Rollout | Denied]:
        """Read, apply, swap; and again when somebody else was first. `lists`: who is alive matters."""
        assert self.rollout is not None
        number, nodes = self.rollout.release, Nodes()
        self.asked_at = self.world.time
        if lists:
            nodes = yield from self.call(partial(self.world.listed, self))
            self.others = len(nodes.perhaps_alive(sure=self.sure) - {self.name})
            self.listed, self.listed_at = nodes.lately, self.world.time
        for losses in count(1):
            record = yield from self.call(lambda: self.world.records[number])
            self.read_at = self.world.time
            made = make(record, nodes)
            if isinstance(made, Denied) or made == record:
                self.rollout = record
                return made
            if (yield from self.call(partial(self.world.swap, record, made))):
                self.rollout = self.world.records[number]
                return made
            yield slots.pause_after(losses, self.world.random.random()).total_seconds()
        raise AssertionError

    # ---- each action

    def do_stage(self, action: actions.Stage) -> Steps[None]:
        yield self.world.random.uniform(0.5, 4)
        if self.world.time < self.full_until:
            raise NodeFailed("the disk is full")
        self.disk.staged.add(action.release)

    def do_rehearse(self, action: actions.Rehearse) -> Steps[None]:
        yield self.world.random.uniform(0.5, 3)
        if self.world.ledger[action.release - 1] is Quality.UNFIT:
            self.reject(action.release, "it cannot be imported")
        else:
            self.preparations = self.preparations.passed(action.release)

    def do_claim(self, action: actions.Claim) -> Steps[None]:
        assert self.rollout is not None
        lasts = slots.listing_lasts(self.rollout.strategy).total_seconds()
        if not action.joining and self.world.time - self.listed_at < lasts:
            forgone = slots.forgone(self.rollout, self.name, action.release, self.listed, now=self.at)
            if forgone is not None:
                self.denied = forgone.reason
                return
        self.slot_use = self.slot_use.used()
        if self.slot_use.has_spent_claims:
            raise NodeFailed("it cannot switch within its turn")
        asked = self.elapsed

        def claim(record: Rollout, nodes: Nodes) -> Rollout | Denied:
            nonlocal asked
            asked = self.elapsed
            return slots.claim(
                record,
                self.name,
                action.release,
                nodes.lately,
                now=self.at,
                reason="update",
                joining=action.joining,
                sure=self.sure,
            )

        made = yield from self.change(claim, lists=True)
        if isinstance(made, Denied):
            self.denied = made.reason
            return
        slot = made.slot(self.name)
        if slot is None or slot.release != action.release or rollouts.is_bad(made, action.release):
            return
        good_until = asked + slots.time_to_switch(made.strategy.slot_timeout, 2 * START)
        self.slot_use = self.slot_use.after_claim(action.release if slot.begun else None, good_until)
        if slot.begun:
            self.stand_still()

    def stand_still(self) -> None:
        """In one of the moments when that matters."""
        if self.stall and self.world.random.random() < 0.5:
            self.world.happen(Fault(0.0, "hang", self.number, self.stall))
            self.stall = 0.0

    def do_run_once(self, action: actions.RunReleaseCommand) -> Steps[None]:
        made = yield from self.change(lambda record, _: slots.take_release_command(record, self.name, now=self.at))
        if isinstance(made, Denied):
            self.denied = made.reason
            return
        # As long as they may take, now and then.
        longest = self.world.strategy.slot_timeout - slots.SLACK
        yield self.world.random.uniform(0.5, self.world.random.choice((5.0, 5.0, 5.0, longest.total_seconds())))
        yield from self.change(lambda record, _: slots.finish_release_command(record, self.name, (), now=self.at))

    def do_drain(self, _: actions.Drain) -> Steps[None]:
        left = slots.time_to_drain(self.slot_use.good_until - self.elapsed)
        self.disk.draining = True
        yield min(self.world.random.uniform(0, 8), left.total_seconds())
        self.slot_use = self.slot_use.after_drain()

    def do_undrain(self, _: actions.Undrain) -> Steps[None]:
        self.disk.draining, self.slot_use = False, self.slot_use.after_undrain()
        yield 0.0

    def do_look(self, _: actions.Look) -> Steps[None]:
        assert self.rollout is not None
        number = self.rollout.release
        record = yield from self.read(number)
        self.rollout, self.read_at, self.slot_use = record, self.world.time, self.slot_use.after_look()
        self.stand_still()

    def do_switch(self, action: actions.Switch) -> Steps[None]:
        disk, number, seen = self.disk, action.release, self.observe()
        self.slot_use = self.slot_use.used()
        escape = targets.escapes(seen, number)
        disk.node_state = disk.node_state.begin(
            number, until=self.now + START, current=disk.current, retries=seen.retries(number), escape=escape
        )
        (self.world.escaping.add if escape else self.world.escaping.discard)(self.name)
        self.served = disk.serving is not None
        self.watch = ProbationWatch(disk.node_state.probation, self.elapsed + START, min_healthy=MIN_HEALTHY)
        self.forget()
        yield 0.01
        if self.needs_slot and not self.slot_use.is_good(self.elapsed):
            disk.node_state, self.watch = seen.node_state, ProbationWatch()
            return
        self.world.switched(self, number)
        disk.current = number
        yield 0.01
        if disk.serving is not None:
            yield self.world.random.uniform(0.2, 5)
            if self.world.ledger[number - 1] is Quality.BROKEN or self.fails():
                self.evidence = self.evidence.after_refusal("the application cannot be loaded")
                return
            if (yield from self.is_condemned(number)):
                self.evidence = self.evidence.after_refusal("others have quarantined it meanwhile")
                self.watch = self.watch.condemned()
                return
            self.serve(number)

    def is_condemned(self, number: int) -> Steps[bool]:
        """Asked right before anybody is served by it; a store that does not answer holds nothing up."""
        record = None
        with contextlib.suppress(StoreFailed):
            record = yield from self.read(number)
        return record is not None and rollouts.is_bad(record, number)

    def do_start(self, _: actions.Start) -> Steps[None]:
        self.watch = self.watch.asked(self.elapsed).unanswered()
        yield self.world.random.uniform(0.2, 2)
        current = self.disk.current
        assert current is not None
        if self.rollout is not None and rollouts.is_bad(self.rollout, current) and self.can_go_back:
            raise Violation(f"{self.name} starts release {current}, which is quarantined")
        self.serve(current)

    @property
    def can_go_back(self) -> bool:
        back = self.fallback
        return back in self.disk.staged and back is not None and self.disk.node_state.rejection(back) is None

    def do_prove(self, action: actions.Probe) -> Steps[None]:
        asked = self.watch.asked(self.elapsed)
        self.watch = asked.unanswered()
        yield self.world.random.uniform(0.05, 0.5)
        serving = self.disk.serving
        quality = self.world.ledger[serving - 1] if serving else None
        trying = self.observe().conducts
        error = "it cannot be imported" if quality is Quality.BROKEN or (trying and self.fails()) else None
        answers = (
            () if serving is None or quality is Quality.HANGING else (Answer(self.disk.pid, serving, error=error),)
        )
        self.evidence = self.evidence.after_probe(Wanted(action.release, None), self.workers(), answers)
        assert self.evidence.readiness is not None
        if self.evidence.readiness.holds:
            self.watch = asked
            return
        yield 1.0
        if not trying and self.disk.current is not None:
            # The live release is not served as it should be: the web server is told once more.
            self.serve(self.disk.current)
            if error is not None or not answers:
                raise NodeFailed("its live release is not served as it should be")

    def do_check(self, action: actions.Check) -> Steps[None]:
        self.watch = self.watch.checking(self.elapsed)
        yield 0.5
        ill = self.world.ledger[action.release - 1] is Quality.ILL
        if self.disk.node_state.probation is None:
            accused = self.rollout.release if self.rollout is not None else 0
            if ill:
                self.disk.node_state = self.disk.node_state.excuse(accused, at=self.now)
                raise NodeFailed("it is unhealthy on the old release, either")
            self.health = self.health.passed(action.release)
        else:
            self.watch = self.watch.checked("its health URL answers 500" if ill else None, self.elapsed)

    def do_settle(self, _: actions.Commit) -> Steps[None]:
        self.disk.node_state = self.disk.node_state.commit()
        self.watch = ProbationWatch()
        self.world.settled(self)
        yield 0.01

    def do_revert(self, action: actions.Revert) -> Steps[None]:
        probation = self.disk.node_state.probation
        assert probation is not None
        yield from self.back(probation.release, targets.revert_target(self.observe()))
        self.reject(probation.release, action.reason, lasting=not self.watch.quarantined)
        self.disk.node_state = self.disk.node_state.revert()
        self.watch = ProbationWatch()

    def do_recover(self, _: actions.Recover) -> Steps[None]:
        probation = self.disk.node_state.probation
        assert probation is not None
        yield from self.back(probation.release, targets.revert_target(self.observe()))
        if probation.attempt > 1 and probation.before is not None:
            self.reject(probation.release, "its probation was interrupted twice")
        self.disk.node_state = self.disk.node_state.interrupt()

    def do_accept(self, action: actions.Accept) -> Steps[None]:
        self.disk.node_state = self.disk.node_state.accept(action.release)
        yield 0.0

    def do_tell_moved(self, _: actions.TellUpdated) -> Steps[None]:
        yield from self.tell(partial(verdicts.updated, node=self.name))

    def do_tell_failed(self, action: actions.TellFailed) -> Steps[None]:
        yield from self.tell(partial(verdicts.failed, node=self.name, reason=action.reason, log=()))

    def do_tell_sick(self, action: actions.TellUnhealthy) -> Steps[None]:
        yield from self.tell(partial(verdicts.reported_unhealthy, node=self.name, reason=action.reason))
        self.health = self.health.cleared()

    def tell(self, outcome: Callable[..., Rollout]) -> Steps[None]:
        yield from self.change(
            lambda record, nodes: outcome(
                record, live=nodes.perhaps_alive(sure=self.sure), now=self.at, heard=nodes.lately
            ),
            lists=True,
        )

    def do_give_back(self, _: actions.GiveBack) -> Steps[None]:
        yield from self.change(lambda record, _: slots.give_back(record, self.name, now=self.at), lists=True)

    def do_review(self, _: actions.Review) -> Steps[None]:
        if self.sure:
            yield from self.change(
                lambda record, nodes: verdicts.reviewed(record, self.name, nodes.lately, now=self.at), lists=True
            )
        if self.rollout is not None and self.rollout.state is State.OPEN:
            self.denied = "other nodes have not moved yet"

    def _handlers(self) -> dict[type, Callable[[Any], Steps[None]]]:
        return {
            actions.Stage: self.do_stage,
            actions.Rehearse: self.do_rehearse,
            actions.Claim: self.do_claim,
            actions.RunReleaseCommand: self.do_run_once,
            actions.Drain: self.do_drain,
            actions.Undrain: self.do_undrain,
            actions.Look: self.do_look,
            actions.Switch: self.do_switch,
            actions.Start: self.do_start,
            actions.Probe: self.do_prove,
            actions.Check: self.do_check,
            actions.Commit: self.do_settle,
            actions.Revert: self.do_revert,
            actions.Recover: self.do_recover,
            actions.Accept: self.do_accept,
            actions.TellUpdated: self.do_tell_moved,
            actions.TellFailed: self.do_tell_failed,
            actions.TellUnhealthy: self.do_tell_sick,
            actions.GiveBack: self.do_give_back,
            actions.Review: self.do_review,
        }

    # ---- parts of actions

    def back(self, release: int, before: int | None) -> Steps[None]:
        if before is None or before == release or before not in self.disk.staged:
            return
        self.disk.current = before
        self.forget()
        yield 0.01
        if self.disk.serving is not None and self.disk.serving != before:
            yield self.world.random.uniform(0.2, 5)
            self.serve(before)

    def serve(self, number: int) -> None:
        self.disk.pid += 1
        self.disk.serving = number
        self.forget()

    def fails(self) -> bool:
        if not self.incidents:
            return False
        self.incidents -= 1
        return True

    def reject(self, number: int, reason: str, *, lasting: bool = True) -> None:
        rejection = self.observe().rejection(number, reason, at=self.now, lasting=lasting)
        self.disk.node_state = self.disk.node_state.reject(rejection)

    def forget(self) -> None:
        self.evidence = self.evidence.forgotten()

    @property
    def out(self) -> bool:
        """Whether nobody is sure that it serves, because of a rollout: it drains, or is in a probation of its own."""
        probation = self.disk.node_state.probation
        return self.disk.draining or (probation is not None and self.served and self.name not in self.world.escaping)
