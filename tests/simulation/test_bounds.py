"""From any observation a bounded number of actions leads to rest; what a node has rejected waits for its time."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from da_agent.domain.application.readiness import Answer, Wanted, Worker
from da_agent.domain.config.strategies import Strategy
from da_agent.domain.node import actions, decisions, targets
from da_agent.domain.node.actions import Action
from da_agent.domain.node.evidence import Evidence
from da_agent.domain.node.node_health import NodeHealth
from da_agent.domain.node.node_states import NodeState, Probation, Rejection
from da_agent.domain.node.observations import Cluster, Observation, Releases, WebServer
from da_agent.domain.node.preparations import Preparations
from da_agent.domain.node.probation_watch import ProbationWatch
from da_agent.domain.node.slot_use import SlotUse
from da_agent.domain.node.targets import RETRY_REJECTED
from da_agent.domain.rollout import rollouts
from da_agent.domain.rollout.rollouts import NodeFailure, Note, Past, ReleaseCommandRun, Rollout, Slot, State
from tests.observed import but

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LONG = timedelta(days=1)
WORKERS = frozenset({Worker(10, 1.0), Worker(11, 1.0)})
BOUND = 60
"""Actions: some for each of at most three releases, and a probation of at most ten questions for each."""

SEEDS = 20
"""How often each observation is played, with other luck each time."""

numbers = st.integers(1, 4)
perhaps = st.none() | numbers
some = st.frozensets(numbers)
ages = st.sampled_from([-10, 0, 1, 30, 59, 61, 299, 301, 5000]).map(lambda age: NOW - age * SECOND)
notes = st.builds(Note, st.sampled_from(["a", "b"]), ages, st.just("a note"))


@st.composite
def node_states(draw: st.DrawFn) -> NodeState:
    failed = draw(
        st.lists(
            st.builds(Rejection, numbers, st.just("bad"), ages, st.booleans(), st.integers(0, 1)),
            unique_by=lambda failure: failure.release,
        )
    )
    probation = st.builds(Probation, numbers, perhaps, st.just(NOW), st.integers(1, 2), st.integers(0, 1))
    return NodeState(draw(perhaps), draw(st.none() | probation), tuple(failed), draw(perhaps))


@st.composite
def records(draw: st.DrawFn) -> Rollout:
    strategy = Strategy(release_command=draw(st.sampled_from([(), ("create_tables",)])))
    slots = st.builds(
        Slot,
        st.just("a"),
        numbers,
        st.just("update"),
        st.just(NOW),
        st.sampled_from([NOW - SECOND, NOW + SECOND, NOW + strategy.slot_timeout]),
        st.booleans(),
        st.booleans(),
    )
    return replace(
        rollouts.opened(draw(numbers), strategy, (), now=NOW - draw(st.sampled_from([0, 5000])) * SECOND),
        state=draw(st.sampled_from(State)),
        closed=draw(st.booleans()),
        slots=tuple(draw(st.lists(slots, max_size=1))),
        updated=draw(st.sampled_from([(), ("a",), ("b",)])),
        failures=draw(st.sampled_from([(), (NodeFailure("a", "bad", NOW),)])),
        unhealthy=tuple(draw(st.lists(notes, max_size=1))),
        retries=tuple(draw(st.lists(notes, max_size=1))),
        paused=draw(st.none() | notes),
        past=Past(bad=tuple(draw(some))),
    )


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    """Any, also such as never come about."""
    cluster = st.builds(
        Cluster, st.just("a"), st.just(NOW), records(), perhaps, st.sampled_from([None, 0, 3]), st.just(None)
    )
    workers = st.sampled_from([frozenset(), WORKERS])
    node_state = draw(node_states())
    known = st.sampled_from([None, node_state.probation])
    return Observation(
        now=NOW,
        node_state=node_state,
        cluster=draw(st.none() | cluster),
        releases=Releases(tuple(draw(some)), draw(some), draw(perhaps)),
        web=WebServer(draw(st.booleans()), draw(workers), draw(st.booleans()), draw(some)),
        preparations=Preparations(draw(some)),
        slot_use=SlotUse(draw(perhaps), LONG, drained=draw(st.booleans()), looked=draw(st.booleans())),
        evidence=Evidence(refused=draw(st.sampled_from([None, "it does not start"])), ready_workers=draw(workers)),
        watch=ProbationWatch(draw(known), draw(st.sampled_from([0, 20])) * SECOND),
        health=NodeHealth(draw(st.sampled_from([None, "its disk is full"])), draw(perhaps)),
    )


class Over(Exception):
    """The node is at fault: `converge` raises, and the store is asked again."""


class Model:
    """What each action does to what a node sees; whether it succeeds is left to chance."""

    def __init__(self, seen: Observation, chance: random.Random) -> None:
        self.seen = seen
        self.chance = chance

    def act(self, action: Action) -> None:
        self._change(now=self.seen.now + SECOND / 10, elapsed=self.seen.elapsed + SECOND / 10)
        getattr(self, f"_{type(action).__name__.lower()}")(action)

    def _change(self, **changes: Any) -> None:
        self.seen = replace(self.seen, **changes)

    def _luck(self) -> bool:
        return self.chance.random() < 0.5

    def _reject(self, number: int, *, lasting: bool = True) -> None:
        failure = self.seen.rejection(number, "bad", at=self.seen.now, lasting=lasting)
        self._change(node_state=self.seen.node_state.reject(failure))

    def _write(self, **changes: object) -> None:
        """Change the record; this node's turn ends."""
        cluster = self.seen.cluster
        assert cluster is not None
        rollout = replace(cluster.rollout, **{"slots": (), **changes})  # type: ignore[arg-type]
        self._change(cluster=replace(cluster, rollout=rollout))

    def _deny(self, reason: str) -> None:
        assert self.seen.cluster is not None
        self._change(cluster=replace(self.seen.cluster, denied=reason))

    def _serve(self, number: int) -> None:
        self.seen = but(self.seen, current=number, evidence=self.seen.evidence.forgotten())

    # ---- each action

    def _stage(self, action: actions.Stage) -> None:
        if self._luck():
            self.seen = but(self.seen, staged=self.seen.releases.staged | {action.release})
        else:
            self._reject(action.release, lasting=self._luck())

    def _rehearse(self, action: actions.Rehearse) -> None:
        if self._luck():
            self._change(preparations=self.seen.preparations.passed(action.release))
        else:
            self._reject(action.release)

    def _claim(self, action: actions.Claim) -> None:
        cluster = self.seen.cluster
        assert cluster is not None
        if self.seen.slot_use.has_spent_claims:
            raise Over
        if self._luck() or rollouts.is_bad(cluster.rollout, action.release):
            self._deny("updating: b")
            return
        until, begun = cluster.at + cluster.rollout.strategy.slot_timeout, not cluster.rollout.release_command_is_due
        self._write(slots=(Slot("a", action.release, "update", cluster.at, until, begun, action.joining),))
        self._change(slot_use=self.seen.slot_use.after_claim(action.release if begun else None, LONG))

    def _runreleasecommand(self, action: actions.RunReleaseCommand) -> None:
        cluster = self.seen.cluster
        assert cluster is not None
        if self._luck():
            done = ReleaseCommandRun("a", cluster.at, done=True)
            self._write(slots=cluster.rollout.slots, release_command=done)
        else:
            self._reject(action.release)

    def _drain(self, _: actions.Drain) -> None:
        self.seen = but(self.seen, draining=True, slot_use=self.seen.slot_use.after_drain())

    def _undrain(self, _: actions.Undrain) -> None:
        self.seen = but(self.seen, draining=False, slot_use=self.seen.slot_use.after_undrain())

    def _look(self, _: actions.Look) -> None:
        self._change(slot_use=self.seen.slot_use.after_look())

    def _switch(self, action: actions.Switch) -> None:
        seen, number = self.seen, action.release
        node_state = seen.node_state.begin(
            number,
            until=seen.now,
            current=seen.releases.current,
            retries=seen.retries(number),
            escape=targets.escapes(seen, number),
        )
        watch = ProbationWatch(node_state.probation, seen.elapsed + 20 * SECOND)
        self._change(node_state=node_state, slot_use=seen.slot_use.used(), watch=watch)
        self._serve(number)
        if self._luck():
            self._change(evidence=self.seen.evidence.after_refusal("it does not start"))

    def _start(self, _: actions.Start) -> None:
        watch = self.seen.watch.asked(self.seen.elapsed).unanswered()
        self.seen = but(self.seen, running=True, workers=WORKERS, ready_workers=frozenset(), watch=watch)

    def _probe(self, action: actions.Probe) -> None:
        watch, workers = self.seen.watch.asked(self.seen.elapsed), self.seen.web.workers
        heard = self.chance.randint(0, 2)
        error = None if self._luck() else "ImportError"
        answers = [Answer(pid, action.release, error=error) for pid in (10, 11)[:heard]]
        evidence = self.seen.evidence.after_probe(Wanted(action.release, None), workers, answers)
        self._change(elapsed=self.seen.elapsed + 5 * SECOND, watch=watch, evidence=evidence)
        holds = evidence.readiness is not None and evidence.readiness.holds
        if self.seen.node_state.probation is None and not holds:
            raise Over

    def _check(self, action: actions.Check) -> None:
        well = self._luck()
        if self.seen.node_state.probation is None:
            if not well:
                raise Over
            self._change(health=self.seen.health.passed(action.release))
            return
        watch, then = self.seen.watch.checking(self.seen.elapsed), self.seen.elapsed + 5 * SECOND
        self._change(elapsed=then, watch=watch.checked(None if well else "/ answers 500", then))

    def _commit(self, _: actions.Commit) -> None:
        self._change(node_state=self.seen.node_state.commit(), watch=ProbationWatch())

    def _revert(self, _: actions.Revert) -> None:
        probation, before = self.seen.node_state.probation, targets.revert_target(self.seen)
        assert probation is not None
        self._reject(probation.release, lasting=self._luck())
        self._back(before)
        self._change(node_state=self.seen.node_state.revert(), watch=ProbationWatch())
        if before is None or before == probation.release:
            raise Over

    def _recover(self, _: actions.Recover) -> None:
        probation = self.seen.node_state.probation
        assert probation is not None
        self._back(targets.revert_target(self.seen))
        if probation.attempt > 1 and probation.before is not None:
            self._reject(probation.release)
        self._change(node_state=self.seen.node_state.interrupt())

    def _back(self, before: int | None) -> None:
        if before in self.seen.releases.staged and before is not None:
            self._serve(before)

    def _accept(self, action: actions.Accept) -> None:
        self._change(node_state=self.seen.node_state.accept(action.release))

    def _tellupdated(self, _: actions.TellUpdated) -> None:
        self._write(updated=("a",))

    def _tellfailed(self, _: actions.TellFailed) -> None:
        self._write(failures=(NodeFailure("a", "bad", NOW),))

    def _tellunhealthy(self, action: actions.TellUnhealthy) -> None:
        self._write(unhealthy=(Note("a", NOW, action.reason),))
        self._change(health=self.seen.health.cleared())

    def _giveback(self, _: actions.GiveBack) -> None:
        self._write()

    def _review(self, _: actions.Review) -> None:
        self._deny("other nodes have not moved yet")


def is_too_early(seen: Observation, action: Action) -> bool:
    """Whether the action takes up a release that was rejected less than RETRY_REJECTED ago, with no retry since."""
    if not isinstance(
        action, actions.Stage | actions.Rehearse | actions.Claim | actions.RunReleaseCommand | actions.Switch
    ):
        return False
    failure = seen.node_state.rejection(action.release)
    if failure is None or not timedelta() <= seen.now - failure.at < RETRY_REJECTED:
        return False
    return seen.retries(action.release) <= failure.retries


def actions_until_rest(seen: Observation, seed: int) -> list[Action]:
    """What a node does until it rests, or finds that it is at fault itself; at most one more than BOUND."""
    model, done = Model(seen, random.Random(seed)), list[Action]()
    while len(done) <= BOUND:
        action = decisions.decide(model.seen)
        assert not is_too_early(model.seen, action), (action, model.seen.node_state)
        if isinstance(action, actions.Idle):
            break
        done.append(action)
        try:
            model.act(action)
        except Over:
            break
    return done


@settings(max_examples=200, deadline=None, database=None, derandomize=True)
@given(observations())
def test_any_observation_leads_to_rest_and_never_to_what_was_rejected_a_moment_ago(seen: Observation) -> None:
    for seed in range(SEEDS):
        done = actions_until_rest(seen, seed)
        assert len(done) <= BOUND, done


@settings(max_examples=200, deadline=None, database=None, derandomize=True)
@given(observations())
def test_what_is_wanted_was_not_rejected_a_moment_ago(seen: Observation) -> None:
    target = targets.wanted(seen)
    assert target is None or target not in targets.rejected(seen)


@pytest.mark.parametrize("seed", range(50))
def test_an_empty_node_rests_whatever_fails(seed: int) -> None:
    record = replace(rollouts.opened(2, Strategy(), (), now=NOW), past=Past(fit=1))
    seen = Observation(NOW, NodeState(), cluster=Cluster("a", NOW, record, fallback=1), releases=Releases((2, 1)))
    assert len(actions_until_rest(seen, seed)) <= BOUND
