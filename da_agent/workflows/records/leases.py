"""Leases: one process alone does some work for all nodes.

One lease is for publishing the inbox, so that eight nodes do not build the same wheels eight times. The inbox lease is
for listing the inbox, so that eight nodes do not list it eight times.

Leases only save work. Two processes that publish at once still make one release, because an append has one winner.
"""

from datetime import datetime, timedelta

from da_agent import ports
from da_agent.domain import records
from da_agent.domain.store import keys
from da_agent.domain.store.leases import PERIOD, Lease
from da_agent.errors import Conflict, NotFound, OutcomeUnknown
from da_agent.workflows.records.readers import Reader


class Leases:
    """One lease in the store. It expires by the store's clock."""

    def __init__(
        self, store: ports.Store, reader: Reader, *, holder: str, nonce: str, key: str = keys.PUBLISHING
    ) -> None:
        self._store = store
        self._reader = reader
        self._holder = holder
        self._nonce = nonce
        self._key = key
        self._tag: str | None = None
        self.other: Lease | None = None
        """The lease of the other holder at the last claim; None when it was free or this holder's."""

    def claim(self, term: timedelta = PERIOD) -> bool:
        """Claim or renew the lease for `term`. True when this holder has the lease now. Claiming twice only makes it
        last longer.
        """
        now = self._store.clock()
        self.other = None
        # An unchanged tag means that no other holder has the lease: one request renews it.
        if self._tag is not None and self._write(now + term, ports.IfTag(self._tag)):
            return True
        condition: ports.Condition = ports.IfAbsent()
        try:
            found = self._reader.lease(self._key)
        except NotFound:
            return self._write(now + term, condition)
        condition, lease = ports.IfTag(found.tag), found.value
        if lease is not None and lease.until > now and lease.holder != self._holder:
            self.other = lease
            return False
        return self._write(now + term, condition)

    def release(self) -> None:
        """End the lease if this holder has it, so that the next one may claim it."""
        try:
            found = self._reader.lease(self._key)
        except NotFound:
            return
        if found.value is None:
            return
        if found.value.holder == self._holder:
            # Expired long ago, because the clocks of other processes may be behind.
            self._write(self._store.clock() - PERIOD, ports.IfTag(found.tag))
        self._tag = None

    def _write(self, until: datetime, condition: ports.Condition) -> bool:
        self._tag = None
        try:
            self._tag = self._store.write(self._key, records.encode(Lease(self._holder, until, self._nonce)), condition)
        except (Conflict, OutcomeUnknown, NotFound):
            return False
        return True
