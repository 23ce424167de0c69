"""A cluster in virtual time keeps its promises, whatever happens to it: design.md, section 6."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from da_agent.domain.config.strategies import Share
from da_agent.domain.rollout.rollouts import Past, State
from tests.simulation.faults import (
    A_MOVER_DIES,
    KINDS,
    POLICY,
    TROUBLES,
    Fault,
    Quality,
    faults_of,
    policy_of,
    troubles_of,
)
from tests.simulation.worlds import play, play_first_start

SHARDS = 8
"""So that several processes share the work."""

SCHEDULES = 10_000

faults = st.builds(
    Fault,
    at=st.floats(0, 120),
    kind=st.sampled_from((*KINDS, *TROUBLES)),
    node=st.integers(0, 5),
    seconds=st.sampled_from([0, 1, 5, 30, 90, 200]),
    quality=st.sampled_from(Quality),
)
"""Small values first: what hypothesis finds becomes as short as it can."""


@pytest.mark.parametrize("shard", range(SHARDS))
def test_ten_thousand_schedules_keep_every_invariant(shard: int) -> None:
    for number in range(shard, SCHEDULES, SHARDS):
        faults = [*faults_of(number), *troubles_of(number)]
        play(number, 1 + number % 5, faults, strategy=policy_of(number))


@seed(20261124)
@settings(max_examples=400, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(number=st.integers(0, 1000), nodes=st.integers(1, 6), what=st.lists(faults, max_size=10))
def test_no_schedule_that_is_looked_for_breaks_an_invariant(number: int, nodes: int, what: list[Fault]) -> None:
    play(number, nodes, [Fault(0.5, "push"), *what])


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(139, id="a release that failed on a node is the one to go back to"),
        pytest.param(174, id="a web server that died in a closed rollout starts on what is there"),
        pytest.param(1847, id="the first release of a node fails, and there is one before it"),
    ],
)
def test_what_was_found_once_stays_mended(number: int) -> None:
    for nodes in range(1, 6):
        play(number, nodes, faults_of(number))


@pytest.mark.parametrize("kind", ["cut", "hang", "kill", "lose", "pause", "power", "slow", "stop", "store"])
def test_whatever_happens_in_any_moment_of_a_slot_a_good_release_is_served_everywhere(kind: str) -> None:
    for moment in range(80):
        world = play(1, 2, [Fault(0.5, "push"), Fault(moment / 2, kind, moment % 2, 30)])
        assert (world.state(2), {node.disk.serving for node in world.nodes}) == (State.STABLE, {2})


@pytest.mark.parametrize("nodes", [1, 2, 4, 30])
@pytest.mark.parametrize("quality", Quality)
def test_a_good_release_is_stable_and_any_other_is_quarantined(nodes: int, quality: Quality) -> None:
    world = play(nodes, nodes, [Fault(0.5, "push", quality=quality)])
    right = 2 if quality is Quality.GOOD else 1
    assert {node.disk.serving for node in world.nodes} == {right}


def test_after_thirty_bad_releases_in_a_row_the_stable_one_before_them_is_served() -> None:
    pushes = [Fault(100.0 * number, "push", quality=Quality.UNFIT) for number in range(30)]
    world = play(1, 2, pushes)
    assert (len(world.ledger), {node.disk.serving for node in world.nodes}) == (31, {1})
    assert world.records[31].past == Past(stable=1, served=1, fit=1, bad=tuple(range(2, 31)))


def test_a_release_that_fails_where_it_can_be_tried_is_quarantined_although_all_others_are_sick_for_ever() -> None:
    unhealthy = [Fault(0.1, "spent", node) for node in (1, 2)]
    world = play(1, 3, [*unhealthy, Fault(0.5, "push", quality=Quality.ILL)])
    assert world.state(2) is State.QUARANTINED


def test_a_release_that_only_a_dead_node_has_served_is_quarantined_where_it_fails() -> None:
    world = play(2, 2, A_MOVER_DIES)
    assert world.records[2].updated == ("web-1",)
    assert (world.state(2), world.nodes[1].disk.serving) == (State.QUARANTINED, 1)


def test_a_thousand_nodes_get_a_release() -> None:
    world = play(1, 1000, [Fault(0.5, "push")], strategy=replace(POLICY, max_unavailable=Share(10, percent=True)))
    assert {node.disk.serving for node in world.nodes} == {2}


@pytest.mark.parametrize("nodes", [1, 2, 5])
@pytest.mark.parametrize("quality", [each for each in Quality if each is not Quality.GOOD])
def test_empty_nodes_reject_what_cannot_be_served_and_take_the_good_release_that_comes(
    nodes: int, quality: Quality
) -> None:
    world = play_first_start(nodes, nodes, quality)
    assert {node.disk.serving for node in world.nodes} == {3}
