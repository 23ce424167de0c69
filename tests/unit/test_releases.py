"""What must be done to serve another release."""

import pytest

from da_agent.domain.releases import Disturbance, Served, disturbances

BEFORE = Served(application="a", certificates="c", web_server="w")


@pytest.mark.parametrize(
    ("after", "needs"),
    [
        pytest.param(BEFORE, set(), id="our own settings"),
        pytest.param(Served("a", "new", "w"), {Disturbance.CERTIFICATES}, id="certificates"),
        pytest.param(Served("a", "", "w"), {Disturbance.CERTIFICATES}, id="the last certificate goes"),
        pytest.param(Served("new", "c", "w"), {Disturbance.RELOAD}, id="packages or configuration"),
        pytest.param(Served("a", "c", "new"), {Disturbance.RESTART}, id="processes or threads"),
        pytest.param(Served("new", "new", "new"), set(Disturbance), id="everything"),
        pytest.param(Served(), set(Disturbance), id="a release of an older agent"),
    ],
)
def test_the_least_disturbance_follows_from_the_difference(after: Served, needs: set[Disturbance]) -> None:
    assert disturbances(BEFORE, after) == needs


def test_what_is_not_known_is_different() -> None:
    assert disturbances(Served(), Served()) == set(Disturbance)
    assert disturbances(Served("a", "c", None), BEFORE) == {Disturbance.RESTART}
