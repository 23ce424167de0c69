"""How often a client may send wrong passwords: after a few, its passwords are not looked at for a while."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from da_agent.domain import limits


@dataclass(frozen=True, slots=True)
class Guesses:
    """The times of the wrong passwords of each client, in seconds of a clock that only goes forward."""

    wrong: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def allowed(self, client: str, now: float) -> bool:
        """Whether a password of this client is looked at now."""
        return len(self._counting(client, now)) < limits.WRONG_PASSWORDS

    def failed(self, client: str, now: float) -> Guesses:
        """With one wrong password more. Of too many clients the one that has failed longest ago is forgotten."""
        others = {each: times for each in self.wrong if each != client and (times := self._counting(each, now))}
        for each in list(others)[: max(0, len(others) + 1 - limits.GUESSING_CLIENTS)]:
            del others[each]
        return Guesses({**others, client: (*self._counting(client, now), now)})

    def _counting(self, client: str, now: float) -> tuple[float, ...]:
        oldest = now - limits.WRONG_PASSWORDS_COUNT.total_seconds()
        return tuple(each for each in self.wrong.get(client, ()) if each > oldest)
