"""From any observation a bounded number of actions leads to rest; what a node has rejected waits for its time."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from da_agent.domain.application.readiness import Answer, Wanted, Worker, readiness_of
from da_agent.domain.config.strategies import Strategy
from da_agent.domain.node import actions, decisions
from da_agent.domain.node.actions import Action
from da_agent.domain.node.decisions import RETRY_REJECTED, Cluster, Observation
from da_agent.domain.node.node_states import NodeState, Probation, Rejection
from da_agent.domain.rollout import rollouts
from da_agent.domain.rollout.rollouts import NodeFailure, Note, Past, ReleaseCommandRun, Rollout, Slot, State
from da_agent.workflows.node.converger import MOST_CLAIMS

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
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
    return Observation(
        now=NOW,
        offered=tuple(draw(some)),
        current=draw(perhaps),
        node_state=draw(node_states()),
        cluster=draw(st.none() | cluster),
        staged=draw(some),
        rehearsed=draw(some),
        without_reload=draw(some),
        conducting=draw(st.booleans()),
        running=draw(st.booleans()),
        workers=draw(workers),
        ready_workers=draw(workers),
        refused=draw(st.sampled_from([None, "it does not start"])),
        left=draw(st.sampled_from([0, 20])) * SECOND,
        draining=draw(st.booleans()),
        drained=draw(st.booleans()),
        looked=draw(st.booleans()),
        begun=draw(perhaps),
        unhealthy=draw(st.sampled_from([None, "its disk is full"])),
        well=draw(perhaps),
    )


class Over(Exception):
    """The node is at fault: `converge` raises, and the store is asked again."""


class Model:
    """What each action does to what a node sees; whether it succeeds is left to chance."""

    def __init__(self, seen: Observation, chance: random.Random) -> None:
        self.seen = seen
        self.chance = chance
        self.claims = 0

    def act(self, action: Action) -> None:
        self.seen = replace(self.seen, now=self.seen.now + SECOND / 10)
        getattr(self, f"_{type(action).__name__.lower()}")(action)

    def _luck(self) -> bool:
        return self.chance.random() < 0.5

    def _reject(self, number: int, *, lasting: bool = True) -> None:
        failure = Rejection(number, "bad", self.seen.now, lasting, self.seen.retries(number))
        self.seen = replace(self.seen, node_state=self.seen.node_state.reject(failure))

    def _write(self, **changes: object) -> None:
        """Change the record; this node's turn ends."""
        cluster = self.seen.cluster
        assert cluster is not None
        rollout = replace(cluster.rollout, **{"slots": (), **changes})  # type: ignore[arg-type]
        self.seen = replace(self.seen, cluster=replace(cluster, rollout=rollout))

    def _deny(self, reason: str) -> None:
        assert self.seen.cluster is not None
        self.seen = replace(self.seen, cluster=replace(self.seen.cluster, denied=reason))

    def _serve(self, number: int) -> None:
        self.seen = replace(
            self.seen,
            current=number,
            readiness=None,
            ready_workers=frozenset(),
            refused=None,
            healthy_for=None,
            asked_late=False,
        )

    # ---- each action

    def _stage(self, action: actions.Stage) -> None:
        if self._luck():
            self.seen = replace(self.seen, staged=self.seen.staged | {action.release})
        else:
            self._reject(action.release, lasting=self._luck())

    def _rehearse(self, action: actions.Rehearse) -> None:
        if self._luck():
            self.seen = replace(self.seen, rehearsed=self.seen.rehearsed | {action.release})
        else:
            self._reject(action.release)

    def _claim(self, action: actions.Claim) -> None:
        cluster = self.seen.cluster
        assert cluster is not None
        self.claims += 1
        if self.claims > MOST_CLAIMS:
            raise Over
        if self._luck() or rollouts.is_bad(cluster.rollout, action.release):
            self._deny("updating: b")
            return
        until, begun = cluster.at + cluster.rollout.strategy.slot_timeout, not cluster.rollout.release_command_is_due
        self._write(slots=(Slot("a", action.release, "update", cluster.at, until, begun, action.joining),))
        self.seen = replace(self.seen, begun=action.release if begun else None)

    def _runreleasecommand(self, action: actions.RunReleaseCommand) -> None:
        cluster = self.seen.cluster
        assert cluster is not None
        if self._luck():
            done = ReleaseCommandRun("a", cluster.at, done=True)
            self._write(slots=cluster.rollout.slots, release_command=done)
        else:
            self._reject(action.release)

    def _drain(self, _: actions.Drain) -> None:
        self.seen = replace(self.seen, draining=True, drained=True, looked=False)

    def _undrain(self, _: actions.Undrain) -> None:
        self.seen = replace(self.seen, draining=False, drained=False)

    def _look(self, _: actions.Look) -> None:
        self.seen = replace(self.seen, looked=True)

    def _switch(self, action: actions.Switch) -> None:
        seen, number = self.seen, action.release
        node_state = seen.node_state.begin(
            number,
            until=seen.now,
            current=seen.current,
            retries=seen.retries(number),
            escape=decisions.escapes(seen, number),
        )
        self.seen = replace(seen, node_state=node_state, begun=None, conducting=True, left=20 * SECOND)
        self._serve(number)
        if self._luck():
            self.seen = replace(self.seen, refused="it does not start")

    def _start(self, _: actions.Start) -> None:
        late = self.seen.left <= timedelta()
        self.seen = replace(self.seen, running=True, workers=WORKERS, ready_workers=frozenset(), asked_late=late)

    def _probe(self, action: actions.Probe) -> None:
        seen = replace(self.seen, asked_late=self.seen.left <= timedelta(), left=self.seen.left - 5 * SECOND)
        heard = self.chance.randint(0, 2)
        error = None if self._luck() else "ImportError"
        answers = [Answer(pid, action.release, error=error) for pid in (10, 11)[:heard]]
        readiness = readiness_of(Wanted(action.release, None), seen.workers, answers)
        self.seen = replace(
            seen, readiness=readiness, ready_workers=seen.workers if readiness.holds else seen.ready_workers
        )
        if seen.node_state.probation is None and not readiness.holds:
            raise Over

    def _check(self, action: actions.Check) -> None:
        well = self._luck()
        if self.seen.node_state.probation is None:
            if not well:
                raise Over
            self.seen = replace(self.seen, well=action.release)
            return
        late = self.seen.left <= timedelta()
        self.seen = replace(
            self.seen,
            asked_late=late,
            checked_late=late,
            left=self.seen.left - 5 * SECOND,
            healthy_for=SECOND if well else None,
        )

    def _commit(self, _: actions.Commit) -> None:
        self.seen = replace(self.seen, node_state=self.seen.node_state.commit(), conducting=False)

    def _revert(self, _: actions.Revert) -> None:
        probation, before = self.seen.node_state.probation, decisions.way_out(self.seen)
        assert probation is not None
        self._reject(probation.release, lasting=self._luck())
        self._back(before)
        self.seen = replace(self.seen, node_state=self.seen.node_state.revert(), conducting=False)
        if before is None or before == probation.release:
            raise Over

    def _recover(self, _: actions.Recover) -> None:
        probation = self.seen.node_state.probation
        assert probation is not None
        self._back(decisions.way_out(self.seen))
        if probation.attempt > 1 and probation.before is not None:
            self._reject(probation.release)
        self.seen = replace(self.seen, node_state=self.seen.node_state.interrupt())

    def _back(self, before: int | None) -> None:
        if before in self.seen.staged and before is not None:
            self._serve(before)

    def _accept(self, action: actions.Accept) -> None:
        self.seen = replace(self.seen, node_state=self.seen.node_state.accept(action.release))

    def _tellupdated(self, _: actions.TellUpdated) -> None:
        self._write(updated=("a",))

    def _tellfailed(self, _: actions.TellFailed) -> None:
        self._write(failures=(NodeFailure("a", "bad", NOW),))

    def _tellunhealthy(self, action: actions.TellUnhealthy) -> None:
        self._write(unhealthy=(Note("a", NOW, action.reason),))
        self.seen = replace(self.seen, unhealthy=None)

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
    target = decisions.wanted(seen)
    assert target is None or target not in decisions.rejected(seen)


@pytest.mark.parametrize("seed", range(50))
def test_an_empty_node_rests_whatever_fails(seed: int) -> None:
    record = replace(rollouts.opened(2, Strategy(), (), now=NOW), past=Past(fit=1))
    seen = Observation(NOW, (2, 1), None, NodeState(), cluster=Cluster("a", NOW, record, fallback=1))
    assert len(actions_until_rest(seen, seed)) <= BOUND
