"""What one cycle of a node's loop finds, and when the next one starts."""

from dataclasses import dataclass, replace
from datetime import timedelta

SOON = timedelta(seconds=1)
"""When to start the next cycle while another process works, or while this node is not idle."""


@dataclass(frozen=True, slots=True)
class Cycle:
    """The cycle that runs, or the last one.

    answered   whether the store has answered
    waits      the other process that the node waits for; None: none
    problem    the problem of this cycle once it has ended; until then, that of the cycle before
    """

    answered: bool = False
    waits: str | None = None
    problem: str | None = None

    # ---- what happens

    def begun(self) -> "Cycle":
        """The next cycle begins."""
        return Cycle(problem=self.problem)

    def heard(self) -> "Cycle":
        """The store has answered."""
        return replace(self, answered=True)

    def waiting_for(self, waits: str | None) -> "Cycle":
        """The node waits for another process; None: for none."""
        return replace(self, waits=waits)

    def ended(self, problem: str | None) -> "Cycle":
        """The cycle is over; `problem` is None when it had none."""
        return replace(self, problem=problem)

    # ---- what follows

    def next_in(self, poll_interval: timedelta, *, hands_back: bool) -> timedelta:
        """How long until the next cycle. `hands_back`: the node is not idle, and the store must be read again."""
        return SOON if self.waits is not None or hands_back else poll_interval
