"""How a node leaves in order when supervisord ends: out of service first, then drained, then signed off."""

from collections.abc import Callable

from da_agent import ports
from da_agent.domain.config.settings import Settings
from da_agent.domain.rollout import drains
from da_agent.errors import NodeBroken
from da_agent.workflows.node.prober import ASK_AGAIN


class Leaving:
    """The steps between the order to stop and the end of the web server. They do not need the loop."""

    def __init__(
        self,
        *,
        traffic: ports.Traffic,
        supervisor: ports.Supervisor,
        clock: ports.Clock,
        progress: ports.Progress,
        settings: Callable[[], Settings],
        sign_off: Callable[[], None],
    ) -> None:
        self._traffic = traffic
        self._supervisor = supervisor
        self._clock = clock
        self._progress = progress
        self._settings = settings
        self._sign_off = sign_off

    def run(self) -> bool:
        """True once this node has left. False, with nothing changed, while supervisord keeps running."""
        if not self._is_ending():
            return False
        self._drain()
        self._sign_off()
        return True

    def _is_ending(self) -> bool:
        """True also when supervisord does not answer: if it keeps running after all, the loop ends the drain."""
        try:
            return self._supervisor.ending()
        except NodeBroken:
            return True

    def _drain(self) -> None:
        """Make the health URL answer 503, then wait until the balancer has noticed and the requests are over.

        The wait lasts at most as long as the settings allow. Without a web server there is nothing to wait for.
        """
        if self._traffic.under_way() is None:
            return
        self._traffic.drain(on=True)
        patience, began = drains.before_leaving(self._settings().drain), self._clock.elapsed()
        with self._progress.step("leaving: waiting for the balancer and the running requests"):
            while (active := self._traffic.under_way()) is not None:
                if drains.is_over(active, self._clock.elapsed() - began, patience, cuts=True):
                    return
                self._clock.wait(ASK_AGAIN)
