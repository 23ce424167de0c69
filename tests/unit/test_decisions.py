"""What a node does next."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from da_agent.domain.application.readiness import Answer, Wanted, Worker, readiness_of
from da_agent.domain.config.strategies import Strategy
from da_agent.domain.node import decisions, targets
from da_agent.domain.node.actions import (
    Accept,
    Action,
    Check,
    Claim,
    Commit,
    Drain,
    GiveBack,
    Idle,
    Look,
    Probe,
    Recover,
    Rehearse,
    Revert,
    Review,
    RunReleaseCommand,
    Stage,
    Start,
    Switch,
    TellFailed,
    TellUnhealthy,
    TellUpdated,
    Undrain,
)
from da_agent.domain.node.evidence import Evidence
from da_agent.domain.node.node_states import NodeState, Probation, Rejection
from da_agent.domain.node.observations import Cluster, Observation, Releases, WebServer
from da_agent.domain.node.probation_watch import ProbationWatch
from da_agent.domain.node.slot_use import SlotUse
from da_agent.domain.rollout import rollouts
from da_agent.domain.rollout.rollouts import NodeFailure, Note, Past, Slot, State
from da_agent.domain.rollout.slots import SLACK
from tests.observed import but

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WORKERS = frozenset({Worker(10, 1.0), Worker(11, 1.0)})
LATE = NOW + timedelta(seconds=61)
LONG = Strategy().slot_timeout
ADMIN = Note("admin", NOW, "maintenance")
OVER: Any = {"ends": timedelta(), "asked_late": True, "checked_late": True}
"""The time of a probation is over, and the release was asked once more."""


def cluster(
    head: int,
    state: State = State.OPEN,
    *,
    fallback: int | None = -1,
    others: int | None = 3,
    denied: str | None = None,
    **changes: Any,
) -> Cluster:
    """What the store says of release `head`; the one before is stable, and three other nodes are alive."""
    rollout = replace(rollouts.opened(head, Strategy(), (), now=NOW), state=state, **changes)
    return Cluster("a", NOW, rollout, head - 1 if fallback == -1 else fallback, others, denied)


def slot(release: int = 6, *, node: str = "a", joining: bool = False, left: timedelta = LONG) -> tuple[Slot, ...]:
    return (Slot(node, release, "update", NOW, NOW + left, joining=joining),)


SERVING = Observation(
    now=NOW,
    node_state=NodeState(live=5),
    cluster=cluster(5, State.STABLE, updated=("a",)),
    releases=Releases((5,), frozenset({4, 5}), 5),
    web=WebServer(running=True, workers=WORKERS),
    evidence=Evidence(ready_workers=WORKERS),
)
BEHIND = but(SERVING, offered=(6,), cluster=cluster(6))
AWAY = but(SERVING, offered=(), cluster=None)
FIRST = but(BEHIND, current=None, cluster=cluster(6, fallback=None))
STAGED = but(BEHIND, staged=frozenset({5, 6}))
TRYING = NodeState(live=5).begin(6, until=NOW + timedelta(seconds=60))
TRIAL = but(
    STAGED,
    current=6,
    node_state=TRYING,
    watch=ProbationWatch(TRYING.probation, timedelta(seconds=60)),
    rehearsed=frozenset({6}),
)
SIX = Wanted(6, "f6")
GOOD = readiness_of(SIX, WORKERS, [Answer(10, 6, "f6"), Answer(11, 6, "f6")])
PARTIAL = readiness_of(SIX, WORKERS, [Answer(10, 6, "f6")])
BROKEN = readiness_of(SIX, WORKERS, [Answer(10, 6, "f6", "ImportError: no module named x")])
OLD = readiness_of(SIX, WORKERS, [Answer(10, 5, "f5"), Answer(11, 6, "f6")])
STABLE = but(TRIAL, readiness=GOOD, ready_workers=WORKERS)
BLAME = (NodeFailure("a", "bad", NOW),)
READY = but(STAGED, rehearsed=frozenset({6}))
MINE = but(READY, cluster=cluster(6, slots=slot()), slot_use=SlotUse(6, LONG))
DRAINED = but(MINE, draining=True, drained=True)
SECOND = timedelta(seconds=1)


def mine(left: timedelta, seen: Observation = READY) -> Observation:
    """It is this node's turn, for so long."""
    return but(seen, cluster=cluster(6, slots=slot(left=left)))


JOINING = Observation(NOW, NodeState(), releases=Releases((6, 5)), cluster=cluster(6))
MOVED = but(READY, current=6, node_state=NodeState(live=6))
BAD = cluster(6, State.QUARANTINED)
CLOSED = cluster(6, slots=slot(), closed=True)
PAUSED = cluster(6, slots=slot(), paused=ADMIN)
LOOKED = but(DRAINED, looked=True)
AFTER_BAD = cluster(6, fallback=4, past=Past(stable=4, bad=(5,)), paused=ADMIN)
"""Release 5 is quarantined, 4 is stable, and 6 has just come; somebody has paused all."""
ON_BAD = but(READY, staged=frozenset({4, 5, 6}), cluster=AFTER_BAD)
ESCAPED = but(ON_BAD, current=4, ready_workers=frozenset())


def rejection(node_state: NodeState, release: int, reason: str, *, lasting: bool = True) -> NodeState:
    return node_state.reject(Rejection(release, reason, NOW, lasting))


@pytest.mark.parametrize(
    ("seen", "action"),
    [
        pytest.param(SERVING, Idle(), id="serving the wanted release"),
        pytest.param(AWAY, Idle(), id="the store does not answer"),
        pytest.param(BEHIND, Stage(6), id="behind"),
        pytest.param(but(SERVING, staged=frozenset()), Idle(), id="damaged, and it is being served"),
        pytest.param(
            but(SERVING, staged=frozenset(), running=False, workers=frozenset()),
            Stage(5),
            id="damaged, nobody serves",
        ),
        pytest.param(
            but(SERVING, staged=frozenset(), node_state=rejection(NodeState(live=5), 5, "no blob")),
            Idle(),
            id="damaged, and it cannot be staged again",
        ),
        pytest.param(
            but(
                FIRST,
                node_state=rejection(NodeState(), 6, "no database"),
                cluster=cluster(6, fallback=None, unhealthy=(Note("a", NOW, "no database"),)),
            ),
            Idle(),
            id="the first release was given up just now",
        ),
        pytest.param(
            but(FIRST, node_state=rejection(NodeState(), 6, "no database"), now=LATE),
            Stage(6),
            id="the first release was given up a while ago",
        ),
        pytest.param(
            but(SERVING, cluster=cluster(5, fallback=None), node_state=rejection(NodeState(), 5, "too slow")),
            Accept(5),
            id="the first release serves after all",
        ),
        pytest.param(STAGED, Rehearse(6), id="staged"),
        pytest.param(READY, Claim(6), id="rehearsed"),
        pytest.param(
            but(READY, cluster=cluster(6, denied="updating: b")),
            Idle("updating: b"),
            id="others go first",
        ),
        pytest.param(MINE, Drain(), id="it is its turn"),
        pytest.param(but(MINE, cluster=cluster(6, slots=slot(), others=0)), Switch(6), id="nobody else serves"),
        pytest.param(but(MINE, without_reload=frozenset({6})), Switch(6), id="no worker is disturbed"),
        pytest.param(mine(SLACK + SECOND, MINE), Drain(), id="just in time"),
        pytest.param(mine(SLACK, MINE), Claim(6), id="just too late"),
        pytest.param(but(MINE, slot_use=SlotUse()), Claim(6), id="a turn of an earlier process"),
        pytest.param(but(MINE, elapsed=LONG), Claim(6), id="a turn that is too old"),
        pytest.param(but(MINE, slot_use=SlotUse(5, LONG)), Claim(6), id="it was claimed for another release"),
        pytest.param(
            but(READY, running=False, cluster=cluster(6, slots=slot(joining=True), others=None)),
            Start(),
            id="who serves nobody need not know the others",
        ),
        pytest.param(DRAINED, Look(), id="drained"),
        pytest.param(but(DRAINED, looked=True), Switch(6), id="drained, and nothing has happened meanwhile"),
        pytest.param(but(DRAINED, elapsed=LONG), Undrain(), id="so long that there is no time for the way back"),
        pytest.param(but(LOOKED, cluster=BAD), Undrain(), id="it has been quarantined meanwhile"),
        pytest.param(but(LOOKED, cluster=CLOSED), Undrain(), id="a newer one has come meanwhile"),
        pytest.param(but(LOOKED, cluster=PAUSED), Undrain(), id="it has been paused meanwhile"),
        pytest.param(but(MINE, cluster=PAUSED), Claim(6), id="paused: to be told so"),
        pytest.param(
            but(MINE, cluster=replace(PAUSED, denied="paused")),
            GiveBack(),
            id="nobody waits in its turn for the end",
        ),
        pytest.param(
            but(READY, running=False, cluster=cluster(6, slots=slot(joining=True), paused=ADMIN)),
            Start(),
            id="who serves nobody goes on in a pause",
        ),
        pytest.param(but(DRAINED, cluster=cluster(6, slots=slot(), denied="paused")), Undrain(), id="it may not begin"),
        pytest.param(but(AWAY, draining=True), Undrain(), id="drained, and the store does not answer"),
        pytest.param(but(DRAINED, cluster=cluster(6)), Undrain(), id="its slot has expired"),
        pytest.param(but(READY, cluster=cluster(6, slots=slot(5))), Claim(6), id="a turn for another release"),
        pytest.param(
            but(MINE, slot_use=SlotUse(), cluster=cluster(6, slots=slot(), strategy=Strategy(release_command=("x",)))),
            RunReleaseCommand(6),
            id="first of all",
        ),
        pytest.param(
            but(DRAINED, cluster=cluster(6, slots=slot(), strategy=Strategy(release_command=("x",)))),
            Undrain(),
            id="a retry makes them due again: nobody need be away for that",
        ),
        pytest.param(MOVED, TellUpdated(), id="settled, and the others do not know"),
        pytest.param(but(MOVED, draining=True), Undrain(), id="settled"),
        pytest.param(but(MOVED, cluster=cluster(6, updated=("a",))), Idle(), id="settled, and they know"),
        pytest.param(
            but(MOVED, cluster=cluster(6, updated=("a", "b"), changed_at=NOW - timedelta(seconds=16))),
            Review(),
            id="nobody moves any more",
        ),
        pytest.param(but(MOVED, cluster=BAD), Switch(5), id="back from a quarantined release, at once"),
        pytest.param(
            but(MOVED, cluster=replace(BAD, fallback=None)), Idle(), id="quarantined, and there is nothing else"
        ),
        pytest.param(but(READY, cluster=BAD), Idle(), id="another release is quarantined"),
        pytest.param(ON_BAD, Switch(4), id="from an older quarantined release at once, also during a pause"),
        pytest.param(
            but(ON_BAD, running=False, workers=frozenset()), Switch(4), id="an older quarantined one is not started"
        ),
        pytest.param(
            but(
                ON_BAD,
                running=False,
                workers=frozenset(),
                staged=frozenset({5, 6}),
                cluster=replace(AFTER_BAD, fallback=None),
            ),
            Claim(6, joining=True),
            id="nor where there is none to go back to",
        ),
        pytest.param(
            but(ON_BAD, cluster=replace(AFTER_BAD, rollout=replace(AFTER_BAD.rollout, state=State.QUARANTINED))),
            Switch(4),
            id="the one after it is quarantined, too, and all is paused",
        ),
        pytest.param(
            but(ON_BAD, cluster=cluster(6, State.STABLE, fallback=4, past=AFTER_BAD.rollout.past)),
            Switch(6),
            id="the one after it is stable",
        ),
        pytest.param(ESCAPED, Switch(4), id="interrupted on its way back"),
        pytest.param(
            but(READY, node_state=rejection(NodeState(live=5), 6, "bad")),
            Check(5),
            id="failed, and served again by the old release: is this node well there?",
        ),
        pytest.param(
            but(READY, node_state=rejection(NodeState(live=5), 6, "bad"), healthy_on=5),
            TellFailed("bad"),
            id="failed, and well again on the old release",
        ),
        pytest.param(
            but(READY, node_state=rejection(NodeState(live=5), 6, "bad").excuse(6, at=NOW), healthy_on=5),
            Idle(),
            id="failed, and this node was at fault",
        ),
        pytest.param(
            but(READY, node_state=rejection(NodeState(live=5), 6, "bad"), ready_workers=frozenset()),
            Probe(5),
            id="failed, and not yet well again",
        ),
        pytest.param(but(MINE, unhealthy="the disk is full"), TellUnhealthy("the disk is full"), id="at fault itself"),
        pytest.param(
            but(
                MINE,
                node_state=rejection(NodeState(live=5), 6, "bad"),
                cluster=cluster(6, slots=slot(), failures=BLAME),
            ),
            GiveBack(),
            id="a turn of no use",
        ),
        pytest.param(
            but(FIRST, node_state=rejection(NodeState(), 6, "no wheel fits")),
            TellUnhealthy("no wheel fits"),
            id="who has never served anything is no witness",
        ),
        pytest.param(
            but(READY, cluster=replace(cluster(6, slots=slot(), denied="paused"), at=NOW + LONG)),
            GiveBack(),
            id="back from a turn that is over",
        ),
        pytest.param(JOINING, Stage(5), id="who joins an open rollout takes what is stable"),
        pytest.param(but(JOINING, offered=(6,)), Stage(6), id="what is stable cannot be had"),
        pytest.param(
            but(JOINING, node_state=rejection(NodeState(), 5, "no wheel fits")),
            Stage(6),
            id="what is stable fails here",
        ),
        pytest.param(
            but(JOINING, staged=frozenset({5}), rehearsed=frozenset({5})), Switch(5), id="for that it needs no turn"
        ),
        pytest.param(
            but(JOINING, cluster=cluster(6, fallback=None), staged=frozenset({6}), rehearsed=frozenset({6})),
            Claim(6, joining=True),
            id="nothing has been stable yet",
        ),
        pytest.param(
            but(JOINING, cluster=cluster(6, State.STABLE), staged=frozenset({6}), rehearsed=frozenset({6})),
            Switch(6),
            id="who joins after the verdict takes the newest",
        ),
        pytest.param(
            but(READY, running=False, workers=frozenset()), Start(), id="served first, then it waits for its turn"
        ),
        pytest.param(TRIAL, Probe(6), id="switched"),
        pytest.param(but(TRIAL, running=False), Start(), id="the web server does not run in a probation"),
        pytest.param(but(TRIAL, readiness=PARTIAL), Probe(6), id="not every worker has answered"),
        pytest.param(but(TRIAL, readiness=OLD), Probe(6), id="a worker still serves the old release"),
        pytest.param(STABLE, Check(6), id="every worker has answered"),
        pytest.param(but(STABLE, healthy_since=timedelta()), Commit(), id="and all is well"),
        pytest.param(but(STABLE, healthy_since=timedelta(), **OVER), Commit(), id="well in the last moment"),
        pytest.param(
            but(STABLE, healthy_since=timedelta(), min_healthy=timedelta(seconds=9)),
            Check(6),
            id="not for long enough",
        ),
        pytest.param(
            but(STABLE, healthy_since=timedelta(), min_healthy=timedelta(seconds=9), **OVER),
            Check(6),
            id="well when its time is over, and not yet for long enough",
        ),
        pytest.param(
            but(STABLE, failing_check="/ answers 500", **OVER), Revert("/ answers 500"), id="never well in its time"
        ),
        pytest.param(
            but(STABLE, failing_check="/ answers 500", ends=timedelta(seconds=-30)),
            Check(6),
            id="this machine stood still: it is asked once more",
        ),
        pytest.param(
            but(STABLE, ends=timedelta(seconds=-30), asked_late=True),
            Check(6),
            id="this machine stood still: its processes have answered, and are they well?",
        ),
        pytest.param(
            but(STABLE, ends=timedelta(seconds=-30), asked_late=True, ready_workers=frozenset()),
            Revert("not healthy in time"),
            id="its processes die and die",
        ),
        pytest.param(
            but(TRIAL, readiness=PARTIAL, ends=timedelta(seconds=-30)),
            Probe(6),
            id="this machine stood still: its processes are asked once more",
        ),
        pytest.param(
            but(STABLE, now=NOW + timedelta(minutes=10)), Check(6), id="somebody has set the clock in a probation"
        ),
        pytest.param(but(STABLE, ready_workers=frozenset()), Probe(6), id="a worker died while it was checked"),
        pytest.param(but(TRIAL, watch=ProbationWatch()), Recover(), id="a probation that another process began"),
        pytest.param(but(SERVING, running=False), Start(), id="the web server has ended"),
        pytest.param(but(SERVING, ready_workers=frozenset()), Probe(5), id="after a restart of the agent"),
        pytest.param(but(SERVING, workers=WORKERS | {Worker(12, 2.0)}), Probe(5), id="a worker process that is new"),
        pytest.param(but(SERVING, workers=frozenset({Worker(10, 9.0)})), Probe(5), id="a pid that was given again"),
        pytest.param(
            but(SERVING, staged=frozenset({4}), running=False, workers=frozenset()),
            Stage(5),
            id="the live release is damaged, nobody serves it, and it can be had again",
        ),
        pytest.param(but(AWAY, staged=frozenset({4})), Idle(), id="damaged, and the store does not answer"),
        pytest.param(Observation(NOW, NodeState()), Idle(), id="an empty node that knows of no release"),
        pytest.param(
            Observation(NOW, NodeState(), releases=Releases((1,)), cluster=cluster(1, fallback=None)),
            Stage(1),
            id="an empty node",
        ),
        pytest.param(
            but(SERVING, node_state=NodeState(live=None), rehearsed=frozenset({5})),
            Claim(5),
            id="a live release that was never stable",
        ),
    ],
)
def test_the_next_action(seen: Observation, action: Action) -> None:
    assert decisions.decide(seen) == action


def test_a_release_that_the_store_could_not_give_is_tried_again_after_a_while() -> None:
    spoilt = but(BEHIND, node_state=rejection(BEHIND.node_state, 6, "other bytes", lasting=False))
    assert decisions.decide(spoilt) == Idle()
    assert decisions.decide(but(spoilt, now=LATE)) == Stage(6)


def test_a_release_that_failed_here_is_tried_again_only_when_it_is_pardoned_or_stable_by_others() -> None:
    known = but(BEHIND, node_state=rejection(BEHIND.node_state, 6, "bad"), cluster=cluster(6, failures=BLAME))
    assert decisions.decide(but(known, now=LATE)) == Idle()
    assert decisions.decide(but(known, cluster=cluster(6, retries=(ADMIN,)))) == Stage(6)
    proven = but(known, cluster=cluster(6, State.STABLE, failures=BLAME))
    assert decisions.decide(proven) == Idle()
    assert decisions.decide(but(proven, now=NOW + targets.RETRY_STABLE)) == Stage(6)


PARDONED = cluster(6, retries=(ADMIN, ADMIN))
TRIED = but(TRIAL, node_state=NodeState(live=5).begin(6, until=LATE, retries=2), cluster=None)


@pytest.mark.parametrize(
    ("seen", "retries"),
    [
        pytest.param(but(READY, cluster=PARDONED), {6: 2, 5: 0}, id="as the store says"),
        pytest.param(but(READY, cluster=None), {6: 0, 5: 0}, id="the store is away"),
        pytest.param(TRIED, {6: 2, 5: 0}, id="the store is away at the end of a probation"),
        pytest.param(but(TRIED, cluster=cluster(6, retries=3 * (ADMIN,))), {6: 2}, id="retried in its probation"),
    ],
)
def test_a_failure_is_held_against_a_release_as_it_stood_when_it_was_tried(
    seen: Observation, retries: dict[int, int]
) -> None:
    assert {number: seen.retries(number) for number in retries} == retries


def test_a_fresh_node_takes_the_newest_release_that_has_not_failed() -> None:
    seen = Observation(NOW, rejection(NodeState(), 6, "bad"), releases=Releases((6, 5)), cluster=cluster(6))
    assert decisions.decide(seen) == Stage(5)


def test_a_broken_application_is_taken_back_at_once_and_a_slow_one_when_its_time_is_over() -> None:
    broken = decisions.decide(but(TRIAL, readiness=BROKEN))
    assert isinstance(broken, Revert)
    assert "no module named x" in broken.reason
    slow = decisions.decide(but(TRIAL, readiness=PARTIAL, **OVER))
    assert isinstance(slow, Revert)
    assert "11" in slow.reason


def test_the_only_release_of_a_node_is_served_although_it_failed() -> None:
    only = cluster(5, fallback=None)
    seen = but(SERVING, cluster=only, node_state=rejection(NodeState(), 5, "slow"), running=False)
    assert decisions.decide(seen) == Start()


def test_an_interrupted_probation_is_tried_once_more_and_then_counted() -> None:
    release_command = TRIAL.node_state.interrupt()
    assert release_command.probation is None
    again = release_command.begin(6, until=LATE)
    assert again.probation is not None
    assert again.probation.attempt == 2
    other = release_command.begin(7, until=LATE)
    assert other.probation is not None
    assert other.probation.attempt == 1


def test_a_settled_probation_is_the_live_release() -> None:
    assert TRIAL.node_state.commit() == NodeState(live=6)


def test_a_release_that_the_web_server_refuses_is_taken_back_at_once() -> None:
    assert decisions.decide(but(TRIAL, refused="it was not loaded in time")) == Revert("it was not loaded in time")


def test_a_refusal_outside_a_probation_takes_nothing_back() -> None:
    assert decisions.decide(but(SERVING, refused="it was not loaded in time")) == Idle()


def in_trial(release: int, before: int | None) -> Observation:
    return but(ESCAPED, node_state=replace(ESCAPED.node_state, probation=Probation(release, before, LATE)))


@pytest.mark.parametrize(
    ("seen", "out"),
    [
        pytest.param(in_trial(6, 4), 4, id="to the one before"),
        pytest.param(in_trial(6, None), None, id="there is none"),
        pytest.param(in_trial(4, 5), None, id="the way back itself was on probation"),
        pytest.param(in_trial(6, 5), 4, id="the one before is quarantined"),
        pytest.param(but(in_trial(6, 5), staged=frozenset({5, 6})), 5, id="there is nothing else on the disk"),
        pytest.param(but(in_trial(4, 5), cluster=None), 5, id="the store does not answer"),
    ],
)
def test_a_probation_that_ends_badly_does_not_lead_to_what_is_quarantined(seen: Observation, out: int | None) -> None:
    assert targets.revert_target(seen) == out


SAYS_SOMETHING = (Claim, RunReleaseCommand, TellUpdated, TellFailed, TellUnhealthy, GiveBack, Review)
"""What a node writes into the record of a rollout."""


@pytest.mark.parametrize(
    ("seen", "then"),
    [
        pytest.param(READY, Idle("a twin"), id="it would claim a slot"),
        pytest.param(but(MINE, slot_use=SlotUse()), Idle("a twin"), id="it would use the slot of the other machine"),
        pytest.param(but(LOOKED, cluster=MINE.cluster), Undrain(), id="it has drained"),
        pytest.param(MOVED, Idle("a twin"), id="it would tell that it was updated"),
        pytest.param(but(SERVING, unhealthy="the disk is full"), Idle("a twin"), id="it is unhealthy"),
        pytest.param(but(READY, unhealthy="the disk is full"), Idle("a twin"), id="it is unhealthy, and behind"),
        pytest.param(but(SERVING, cluster=CLOSED), Idle("a twin"), id="the record is closed"),
        pytest.param(but(READY, cluster=PAUSED), Idle("a twin"), id="it would give back the slot of the other"),
        pytest.param(ESCAPED, Switch(4), id="what it leaves is quarantined: that needs no slot"),
    ],
)
def test_a_machine_whose_name_another_one_has_serves_and_writes_nothing_into_the_record(
    seen: Observation, then: Action
) -> None:
    assert seen.cluster is not None
    action = decisions.decide(but(seen, cluster=replace(seen.cluster, excluded="a twin")))
    assert not isinstance(action, SAYS_SOMETHING)
    assert action == then
