"""What must be done to serve another release."""

from dataclasses import replace

import pytest

from da_agent.domain.release.releases import Disturbance, Release, Served, disturbances
from tests.fake_nodes import release

BEFORE = Served(application="a", certificates="c", web_server="w", http="h")


@pytest.mark.parametrize(
    ("after", "needs"),
    [
        pytest.param(BEFORE, set(), id="our own settings"),
        pytest.param(Served("a", "new", "w", "h"), {Disturbance.CERTIFICATES}, id="certificates"),
        pytest.param(Served("a", "", "w", "h"), {Disturbance.CERTIFICATES}, id="the last certificate goes"),
        pytest.param(Served("new", "c", "w", "h"), {Disturbance.RELOAD}, id="packages or configuration"),
        pytest.param(Served("a", "c", "new", "h"), {Disturbance.RESTART}, id="processes or threads"),
        pytest.param(Served("new", "new", "new", "new"), set(Disturbance), id="everything"),
        pytest.param(Served("a", "c", "w", "new"), {Disturbance.HTTP}, id="trusted proxies"),
        pytest.param(Served(), set(Disturbance), id="a release of an older agent"),
    ],
)
def test_the_least_disturbance_follows_from_the_difference(after: Served, needs: set[Disturbance]) -> None:
    assert disturbances(BEFORE, after) == needs


@pytest.mark.parametrize(
    ("before", "restart", "newest"),
    [
        pytest.param(None, False, None, id="the first"),
        pytest.param(release(7), False, None, id="there was none yet"),
        pytest.param(release(7), True, 8, id="this is one"),
        pytest.param(replace(release(7), restart=True), False, 7, id="the one before is one"),
        pytest.param(replace(release(7), restarted=3), False, 3, id="it was longer ago"),
        pytest.param(replace(release(7), restart=True, restarted=3), False, 7, id="the newest of two"),
        pytest.param(replace(release(6), restarted=3), False, 3, id="the one before cannot be read"),
    ],
)
def test_a_release_carries_the_newest_restart_on(before: Release | None, restart: bool, newest: int | None) -> None:
    made = replace(release(0), restart=restart).after(7, before)
    assert (made.number, made.newest_restart) == (8, newest)


def test_what_is_not_known_is_different() -> None:
    assert disturbances(Served(), Served()) == set(Disturbance)
    assert disturbances(Served("a", "c", None, "h"), BEFORE) == {Disturbance.RESTART}
