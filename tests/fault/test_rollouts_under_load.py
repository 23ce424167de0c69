"""The real thing: four nodes behind haproxy under constant load, and everything that can go wrong with a push.

The tests share one site, and each leaves it whole: the next one begins where the last one has ended.
"""

import functools
import itertools
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import pytest

from da_agent.adapters.dev_clusters import DevNode
from da_agent.domain.node.reports import Phase, Report
from tests import servers, shops
from tests.crowds import Crowd, Visit
from tests.sites import Site, site

pytestmark = pytest.mark.xdist_group("rollouts under load")

RATE = 60.0
"""Visits a second: other tests run beside these."""

ROUNDS = 8
"""So many releases are pushed at most until an agent was killed in each phase."""

SLICE = 0.01
"""Seconds for which the agents go on between two looks at their reports: no longer phase is missed, however slow the
machine is.
"""

ROLLOUT = {
    "max unavailable": 1,
    "canary": 1,
    "max failures": 0,
    "drain": 1,
    "slot timeout": 90,
    "health timeout": 5,
}


@dataclass
class Place:
    """The shared site and the release on which it is whole."""

    site: Site
    release: int = 1


@pytest.fixture(scope="module")
def built() -> Iterator[Place]:
    with site(settings=ROLLOUT) as made:
        yield Place(made)


@pytest.fixture
def shared(built: Place) -> Place:
    """The site, made whole again if the test before has failed."""
    if not built.site.whole(built.release):
        built.release = built.site.push()
        built.site.until_whole(built.release)
    return built


@contextmanager
def nobody_notices(on: Site) -> Iterator[Crowd]:
    """A crowd that comes all the time, until a moment after the end of the context: not one visit may fail."""
    lost = len(on.proxy.complaints())
    with on.crowd(RATE) as crowd:
        yield crowd
        crowd.wait_for(lambda visit: visit.kind == "long")
    assert [f"{visit}: {on.trace(visit)}" for visit in crowd.failures] == []
    assert on.proxy.complaints()[lost:] == []


def is_answer_of(node: str, release: int, visit: Visit) -> bool:
    return (visit.node, visit.release) == (node, release)


def answered_from(crowd: Crowd) -> set[int | None]:
    return {visit.release for visit in crowd.visits}


def is_quarantined(place: Place, release: int) -> None:
    """The verdict is in the store, and the cluster is whole on the release before."""
    place.site.until(lambda: place.site.state(release) == "quarantined")
    place.site.until_whole(place.release)


# ---- good pushes


def test_a_good_push_reaches_every_node_and_nobody_notices(shared: Place) -> None:
    with nobody_notices(shared.site) as crowd:
        release = shared.site.push()
        shared.site.until_whole(release)
    assert answered_from(crowd) == {shared.release, release}
    shared.release = release


def test_a_good_push_reaches_every_node_of_a_site_on_s3_and_nobody_notices() -> None:
    with servers.ministack() as server, site(server=server, settings=ROLLOUT) as made:
        with nobody_notices(made) as crowd:
            made.until_whole(made.push())
        assert answered_from(crowd) == {1, 2}


def test_a_push_that_starts_slowly_reaches_every_node_one_after_the_other(shared: Place) -> None:
    with nobody_notices(shared.site) as crowd:
        release = shared.site.push(start=4.0)
        shared.site.until_whole(release)
        for node in shared.site.nodes:
            crowd.wait_for(functools.partial(is_answer_of, node.name, release))
    assert answered_from(crowd) == {shared.release, release}
    firsts = sorted(
        min(visit.ended for visit in crowd.visits if is_answer_of(node.name, release, visit))
        for node in shared.site.nodes
    )
    # Nobody begins before the one before it is stable: each had to import first.
    assert all(later - earlier > 3.0 for earlier, later in itertools.pairwise(firsts))
    shared.release = release


def test_a_push_whose_workers_never_end_is_replaced_all_the_same(shared: Place) -> None:
    with nobody_notices(shared.site):
        leaky = shared.site.push(fault=shops.LEAKS)
        shared.site.until_whole(leaky)
        release = shared.site.push()
        shared.site.until_whole(release)
        shared.site.until(lambda: shared.site.served_by(leaky) == [])
    shared.release = release


# ---- bad pushes


@pytest.mark.parametrize("fault", [shops.IMPORT, shops.IMPORT_IN_THE_WEB_SERVER, shops.ANSWERS_500])
def test_a_bad_push_is_quarantined_and_nobody_has_seen_it(shared: Place, fault: str) -> None:
    with nobody_notices(shared.site) as crowd:
        is_quarantined(shared, shared.site.push(fault=fault))
    assert answered_from(crowd) == {shared.release}


# ---- agents that are killed


@pytest.mark.timeout(3000)
def test_agents_that_are_killed_in_each_phase_reach_the_release_and_nobody_notices(shared: Place) -> None:
    left = set(Phase) - {Phase.STARTING, Phase.SERVING, Phase.STOPPED, Phase.LEFT}
    with nobody_notices(shared.site):
        # Who has been killed once is left alone: a probation that is interrupted twice is given up, and rightly so.
        for _ in range(ROUNDS):
            release, met = kill_in(shared.site, left)
            left -= met
            shared.site.until_whole(release)
            if not left:
                break
        assert left == set(), f"no node has reported {[phase.value for phase in left]}"
    shared.release = release


def kill_in(on: Site, phases: set[Phase]) -> tuple[int, set[Phase]]:
    """Push a release, and kill agents while it goes through the cluster, each once and each in another phase.

    The release, and the phases in which they were killed.
    """
    loops = {node.name: on.loop(node) for node in on.nodes}
    met: set[Phase] = set()
    with held(loops):
        release = on.push()
        ends = time.monotonic() + 240
        while loops and phases - met and not all(serves(report, release) for report in on.reports().values()):
            assert time.monotonic() < ends, str(on)
            for loop in loops.values():
                loop.resume()
            time.sleep(SLICE)
            for loop in loops.values():
                loop.suspend()
            for name, report in on.reports().items():
                if name in loops and report.target == release and report.phase in phases - met:
                    loops.pop(name).kill()
                    met.add(report.phase)
    return release, met


@contextmanager
def held(loops: Mapping[str, psutil.Process]) -> Iterator[None]:
    """The processes stand still at the beginning, and those that are left in `loops` go on at the end."""
    for loop in loops.values():
        loop.suspend()
    try:
        yield
    finally:
        for loop in loops.values():
            loop.resume()


def serves(report: Report, release: int) -> bool:
    return (report.release, report.phase) == (release, Phase.SERVING)


# ---- a machine that is switched off


def test_a_canary_that_is_switched_off_in_its_slot_stops_nobody(shared: Place) -> None:
    on = shared.site
    with nobody_notices(on):
        release = on.push(start=3.0)
        canary = in_its_turn(on, release)
        # What a machine is answering when its power goes is lost, whoever it is. This one has emptied itself before:
        # its own 503 keeps people away, and nothing ends that while its loop is held.
        loop = on.loop(canary)
        loop.suspend()
        on.proxy.wait(lambda states: not states[canary.name].up and states[canary.name].current == 0, 10.0)
        canary.kill()
        others = [node.name for node in on.nodes if node is not canary]
        on.until(lambda: all(on.reports()[name].release == release for name in others))
        canary.start()
        on.until_whole(release)
    shared.release = release


def in_its_turn(on: Site, release: int) -> DevNode:
    """The first node that is out of service for the release."""
    turning: list[DevNode] = []

    def found() -> bool:
        said = on.reports()
        turning[:] = [
            node
            for node in on.nodes
            if said[node.name].target == release and said[node.name].phase in (Phase.SWITCHING, Phase.PROBATION)
        ]
        return bool(turning)

    on.until(found)
    return turning[0]
