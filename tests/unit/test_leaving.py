"""What a node does between the order to stop and the end of its web server."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from da_agent.domain.config.settings import Settings
from da_agent.domain.rollout import drains
from da_agent.errors import NodeBroken, Unreachable
from da_agent.workflows.node.leaving import Leaving
from tests.fake_nodes import FakeInstallation, FakePrograms, FakeWeb
from tests.fakes import FakeClock, SilentProgress


@dataclass
class Node:
    """A node that serves, and whose supervisord ends."""

    drain: float = 20
    web: FakeWeb = field(default_factory=lambda: FakeWeb(FakeInstallation(), up=True))
    programs: FakePrograms = field(default_factory=lambda: FakePrograms(ends=True))
    clock: FakeClock = field(default_factory=FakeClock)
    signed_off_at: timedelta | None = None

    def leave(self) -> tuple[bool, float]:
        """Whether it has left, and the seconds that it waited."""
        began = self.clock.elapsed()
        left = Leaving(
            traffic=self.web,
            supervisor=self.programs,
            clock=self.clock,
            progress=SilentProgress(),
            settings=lambda: Settings(drain=timedelta(seconds=self.drain)),
            sign_off=self._sign_off,
        ).run()
        return left, (self.clock.elapsed() - began).total_seconds()

    def _sign_off(self) -> None:
        self.signed_off_at = self.clock.elapsed()


def test_an_idle_node_waits_until_the_balancer_has_found_out() -> None:
    node = Node()
    assert node.leave() == (True, drains.NOTICE.total_seconds())
    assert node.web.draining()
    assert node.signed_off_at == node.clock.elapsed()


@pytest.mark.parametrize(("drain", "waited"), [(2, 2), (20, 20), (600, 30)])
def test_a_busy_node_waits_as_long_as_the_settings_say_and_never_for_longer_than_supervisord(
    drain: float, waited: float
) -> None:
    node = Node(drain)
    node.web.busy = 1
    assert node.leave() == (True, waited)


def test_a_node_waits_for_its_last_request() -> None:
    node = Node()
    node.web.busy = 1

    def end(number: int) -> None:
        node.web.busy = 0 if number == 100 else 1

    node.clock.on_wait = end
    assert node.leave() == (True, 10.0)


def test_a_node_without_a_web_server_waits_for_nothing_and_is_not_draining_afterwards() -> None:
    node = Node()
    node.web.up = False
    assert node.leave() == (True, 0)
    assert not node.web.draining()
    assert node.signed_off_at is not None


def test_a_web_server_that_ends_meanwhile_ends_the_wait() -> None:
    node = Node()

    def end(number: int) -> None:
        node.web.up = number < 10

    node.clock.on_wait = end
    assert node.leave() == (True, 1.0)


def test_a_node_stays_while_supervisord_goes_on() -> None:
    node = Node()
    node.programs.ends = False
    assert node.leave() == (False, 0)
    assert not node.web.draining()
    assert node.signed_off_at is None


def test_a_node_leaves_when_supervisord_does_not_answer() -> None:
    class Mute(FakePrograms):
        def ending(self) -> bool:
            raise NodeBroken("supervisord does not answer")

    node = Node(programs=Mute())
    assert node.leave()[0]


def test_a_store_that_is_away_keeps_no_node_from_leaving_in_order() -> None:
    class Away(Node):
        def _sign_off(self) -> None:
            raise Unreachable("the store does not answer")

    node = Away()
    with pytest.raises(Unreachable):
        node.leave()
    assert node.clock.elapsed() - FakeClock().elapsed() == drains.NOTICE
