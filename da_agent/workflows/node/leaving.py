"""How a node leaves in order when supervisord ends: out of service first, then empty, then signed off."""

from collections.abc import Callable

from da_agent import ports
from da_agent.domain.config.settings import Settings
from da_agent.domain.rollout import drains
from da_agent.errors import NodeBroken
from da_agent.workflows.node.switcher import ASK_AGAIN


class Leaving:
    """What stands between the order to stop and the end of the web server. Nothing here needs the loop."""

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
        """Whether this node has left; False, and nothing has changed, while supervisord goes on."""
        if not self._is_ending():
            return False
        self._drain()
        self._sign_off()
        return True

    def _is_ending(self) -> bool:
        """Also when supervisord does not answer: a drain that was in vain is ended by the loop."""
        try:
            return self._supervisor.ending()
        except NodeBroken:
            return True

    def _drain(self) -> None:
        """The health URL says 503; then wait until the balancer has found out and the requests are over, or for as long
        as the settings allow. There is nothing to wait for without a web server."""
        if self._traffic.under_way() is None:
            return
        self._traffic.drain(on=True)
        patience, began = drains.before_leaving(self._settings().drain), self._clock.elapsed()
        with self._progress.step("leaving: waiting until no visitor comes any more"):
            while (active := self._traffic.under_way()) is not None:
                if drains.is_over(active, self._clock.elapsed() - began, patience, cuts=True):
                    return
                self._clock.wait(ASK_AGAIN)
