"""From a rehearsed release to the switch: claim a slot, drain, look at the record again, switch."""

from collections.abc import Callable
from datetime import timedelta
from typing import assert_never

from da_agent import ports
from da_agent.domain.config.settings import Settings
from da_agent.domain.node import actions
from da_agent.domain.node.actions import Move
from da_agent.domain.node.observations import Observation
from da_agent.domain.node.slot_use import SlotUse
from da_agent.domain.rollout import drains, slots
from da_agent.errors import NodeBroken
from da_agent.workflows.node.prober import ASK_AGAIN
from da_agent.workflows.node.rollout_client import RolloutClient
from da_agent.workflows.node.switcher import Switcher


class Mover:
    """Takes this node out of service and to another release, within a slot."""

    def __init__(
        self,
        *,
        web: ports.WebService,
        traffic: ports.Traffic,
        switcher: Switcher,
        rollout_client: RolloutClient,
        clock: ports.Clock,
        progress: ports.Progress,
        settings_of: Callable[[int], Settings],
    ) -> None:
        """`settings_of` returns the settings of a staged release."""
        self._web = web
        self._traffic = traffic
        self._switcher = switcher
        self._rollout_client = rollout_client
        self._clock = clock
        self._progress = progress
        self._settings_of = settings_of
        self.slot_use = SlotUse()

    def resume(self) -> None:
        """A new run of the loop begins: an earlier slot may have ended."""
        self.slot_use = self.slot_use.resumed()

    def move(self, action: Move, seen: Observation) -> None:
        match action:
            case actions.Claim(number, joining):
                self._claim(number, joining=joining)
            case actions.Drain():
                self._drain(seen)
            case actions.Undrain():
                self._undrain()
            case actions.Look():
                self._rollout_client.look_again()
                self.slot_use = self.slot_use.after_look()
            case actions.Switch(number):
                self._switch(number, seen)
            case _:
                assert_never(action)

    def end_drain(self) -> None:
        """Tell the load balancer to send requests again, if it was told not to."""
        if self._traffic.draining():
            self._undrain()

    def _claim(self, number: int, *, joining: bool) -> None:
        self.slot_use = self.slot_use.used()
        if self.slot_use.has_spent_claims:
            raise NodeBroken(
                f"cannot switch to release {number} before the slot expires: this node was suspended, or the store"
                " answers too slowly"
            )
        made = self._rollout_client.claim(number, f"release {number}", joining=joining)
        if made is None:
            return
        needed = self._settings_of(number).there_and_back
        good_until = made.at + slots.time_to_switch(made.slot, needed)
        self.slot_use = self.slot_use.after_claim(number if made.begun else None, good_until)

    def _drain(self, seen: Observation) -> None:
        """Take the node out of service; running requests may finish for as long as the settings and the slot allow."""
        current = seen.releases.current
        patience = self._settings_of(current).drain if current is not None else timedelta()
        slot = seen.cluster.slot if seen.cluster is not None else None
        began = self._clock.elapsed()
        patience = min(patience, slots.time_to_drain(self.slot_use.good_until - began))
        cuts = slot is not None and self._web.cuts(slot.release)
        self._traffic.drain(on=True)
        while not drains.is_over(self._traffic.active(), self._clock.elapsed() - began, patience, cuts=cuts):
            self._clock.wait(ASK_AGAIN)
        self.slot_use = self.slot_use.after_drain()

    def _undrain(self) -> None:
        self._traffic.drain(on=False)
        self.slot_use = self.slot_use.after_undrain()

    def _switch(self, number: int, seen: Observation) -> None:
        """Switch to release `number`, unless this machine was suspended since it claimed its slot.

        After a suspension other nodes may be out of service by now.
        """
        free = not seen.slot_use.allows(number, seen.elapsed)
        slot_use = self.slot_use = self.slot_use.used()
        if not self._switcher.switch(number, seen, lambda: free or slot_use.is_good(self._clock.elapsed())):
            # The record decides whether the slot may be claimed again.
            self._progress.say(
                f"Not switching to release {number} yet: too much time has passed since the slot was claimed"
            )
