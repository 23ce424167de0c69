"""How far this process has got on its way through a slot to the switch."""

from dataclasses import dataclass, replace
from datetime import timedelta

MOST_CLAIMS = 4
"""How often a node may claim its slot before it switches.

It claims once before the release commands and once after them. It claims again when a drain takes long or the machine
was suspended. A node that needs more claims is unhealthy.
"""


@dataclass(frozen=True, slots=True)
class SlotUse:
    """The slot that this process claimed last, and what it has done in it.

    release      the release that this process may switch to in the slot; None: none, or the slot is not begun
    good_until   until when the slot leaves enough time for the probation and for the way back, by the monotonic clock
    claims       how often a slot was claimed in this run of the loop
    drained      whether no request is being answered, or the time to drain is up
    looked       whether the record was read again since then
    """

    release: int | None = None
    good_until: timedelta = timedelta()
    claims: int = 0
    drained: bool = False
    looked: bool = False

    # ---- what happens

    def resumed(self) -> "SlotUse":
        """A new run of the loop begins. An earlier slot may have ended, so it is claimed anew."""
        return replace(self, release=None, claims=0)

    def after_claim(self, release: int | None, good_until: timedelta) -> "SlotUse":
        """A slot was claimed; `release` is None when the slot is not begun."""
        return replace(self, release=release, good_until=good_until, claims=self.claims + 1)

    def used(self) -> "SlotUse":
        """The slot allows no other switch."""
        return replace(self, release=None)

    def after_drain(self) -> "SlotUse":
        return replace(self, drained=True, looked=False)

    def after_look(self) -> "SlotUse":
        return replace(self, looked=True)

    def after_undrain(self) -> "SlotUse":
        return replace(self, drained=False)

    # ---- what follows

    def is_good(self, now: timedelta) -> bool:
        """Whether the slot leaves enough time for the probation and for the way back."""
        return now < self.good_until

    def allows(self, release: int, now: timedelta) -> bool:
        """Whether this process may switch to `release` in the slot."""
        return self.release == release and self.is_good(now)

    @property
    def has_spent_claims(self) -> bool:
        return self.claims >= MOST_CLAIMS
