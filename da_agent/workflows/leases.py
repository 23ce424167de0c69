"""Who is adopting the inbox now, so that eight nodes do not build the same wheels eight times.

Nothing depends on it but the effort: two who adopt at once still make one release, because an append has one winner.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from da_agent import ports
from da_agent.domain import keys, records
from da_agent.errors import Absent, Doubtful, Lost, Tampered

PERIOD = timedelta(minutes=2)
"""How long a dead holder keeps the others waiting."""


@dataclass(frozen=True, slots=True)
class Lease:
    holder: str
    until: datetime
    nonce: str


class Leases:
    """One lease in the store; it ends by itself."""

    def __init__(self, store: ports.Store, *, holder: str, nonce: str) -> None:
        self._store = store
        self._holder = holder
        self._nonce = nonce

    def claim(self) -> bool:
        """Whether this holder has the lease now. Claiming twice is the same as claiming once, but lasts longer."""
        now = self._store.clock()
        condition: ports.Condition = ports.IfAbsent()
        try:
            stored = self._store.read(keys.ADOPTING)
            condition = ports.IfTag(stored.tag)
            lease = records.decode(Lease, stored.data, keys.ADOPTING)
            if lease.until > now and lease.holder != self._holder:
                return False
        except (Absent, Tampered):
            pass
        return self._write(Lease(self._holder, now + PERIOD, self._nonce), condition)

    def release(self) -> None:
        """Let the next one in; only ever ends the lease of this holder."""
        try:
            stored = self._store.read(keys.ADOPTING)
            lease = records.decode(Lease, stored.data, keys.ADOPTING)
        except (Absent, Tampered):
            return
        if lease.holder == self._holder:
            self._write(Lease(self._holder, self._store.clock(), self._nonce), ports.IfTag(stored.tag))

    def _write(self, lease: Lease, condition: ports.Condition) -> bool:
        try:
            self._store.write(keys.ADOPTING, records.encode(lease), condition)
        except (Lost, Doubtful, Absent):
            return False
        return True
