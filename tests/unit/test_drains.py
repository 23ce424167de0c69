"""When a node to which nobody should come any more counts as empty."""

from datetime import timedelta

import pytest

from da_agent.domain.rollout.drains import NOTICE, is_over

MOMENT = timedelta(milliseconds=100)
PATIENCE = timedelta(seconds=10)


@pytest.mark.parametrize(
    ("active", "waited", "patience", "cuts", "over"),
    [
        pytest.param(0, timedelta(), PATIENCE, False, True, id="an empty node that loses nobody's request"),
        pytest.param(0, NOTICE - MOMENT, PATIENCE, True, False, id="the balancer may still send somebody"),
        pytest.param(0, NOTICE, PATIENCE, True, True, id="the balancer knows"),
        pytest.param(1, NOTICE, PATIENCE, True, False, id="somebody is here"),
        pytest.param(1, PATIENCE, PATIENCE, True, True, id="time is up"),
        pytest.param(0, MOMENT, MOMENT, True, True, id="there is less time than a balancer needs"),
        pytest.param(1, timedelta(), timedelta(), False, True, id="there is no time"),
    ],
)
def test_a_node_counts_as_empty(active: int, waited: timedelta, patience: timedelta, cuts: bool, over: bool) -> None:
    assert is_over(active, waited, patience, cuts=cuts) is over
