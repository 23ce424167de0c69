"""What a process remembers of the releases on disk and of its own health."""

from da_agent.domain.node.node_health import NodeHealth
from da_agent.domain.node.preparations import Preparations


def test_a_damaged_release_is_damaged_until_it_was_staged_again() -> None:
    spoilt = Preparations().spoilt(5).spoilt(6)
    assert spoilt.damaged == {5, 6}
    assert spoilt.staged(5).damaged == {6}
    assert Preparations().staged(5) == Preparations()


def test_a_release_is_rehearsed_once_in_each_process() -> None:
    assert Preparations().passed(5).passed(6).spoilt(6).rehearsed == {5, 6}


def test_an_unhealthy_node_stays_so_over_runs_until_it_is_idle_or_has_told() -> None:
    broken = NodeHealth().broken("the disk is full")
    assert broken.resumed().unhealthy == "the disk is full"
    assert broken.cleared() == NodeHealth()


def test_health_on_the_live_release_is_checked_anew_in_each_run() -> None:
    passed = NodeHealth().passed(5)
    assert passed.cleared().healthy_on == 5
    assert passed.resumed().healthy_on is None
