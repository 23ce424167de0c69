"""Leases: one process alone does some work for all nodes.

One lease is for publishing the inbox, so that eight nodes do not build the same wheels eight times. The inbox lease is
for listing the inbox, so that eight nodes do not list it eight times.

Leases only save work. Two processes that publish at once still make one release, because an append has one winner.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime, timedelta

from da_agent import ports
from da_agent.domain import records
from da_agent.domain.store import keys
from da_agent.domain.store.leases import RENEWAL, TERM, Lease
from da_agent.errors import AgentError, Conflict, NotFound, OutcomeUnknown
from da_agent.workflows.records.readers import Reader

BEHIND = timedelta(minutes=2)
"""How far the clocks of other processes may be behind the store's: a lease that is released ends that much earlier."""


class Leases:
    """One lease in the store. It expires by the store's clock."""

    def __init__(
        self,
        store: ports.Store,
        reader: Reader,
        *,
        holder: str,
        nonce: str,
        key: str = keys.PUBLISHING,
        repeat: ports.Repeat = lambda *_: nullcontext(),
    ) -> None:
        """`repeat` renews the lease in `renewed`; by default it does nothing."""
        self._store = store
        self._reader = reader
        self._holder = holder
        self._nonce = nonce
        self._key = key
        self._repeat = repeat
        self._tag: str | None = None
        self._since: datetime | None = None
        self.other: Lease | None = None
        """The lease of the other holder at the last claim; None when it was free or this holder's."""

    def claim(self, term: timedelta = TERM) -> bool:
        """Claim or renew the lease for `term`. True when this holder has the lease now. Claiming twice only makes it
        last longer.
        """
        now = self._store.clock()
        self.other = None
        # An unchanged tag means that no other holder has the lease: one request renews it.
        if self._tag is not None and self._write(self._since or now, now + term, ports.IfTag(self._tag)):
            return True
        try:
            found = self._reader.lease(self._key)
        except NotFound:
            return self._write(now, now + term, ports.IfAbsent())
        lease = found.value
        if lease is not None and lease.until > now and lease.holder != self._holder:
            self.other = lease
            return False
        return self._write(now, now + term, ports.IfTag(found.tag))

    def renew(self) -> None:
        """Renew the lease while this holder works. May be called from any thread.

        Does nothing without the lease, and when the store does not answer: others then only repeat the work.
        """
        tag, since = self._tag, self._since
        with suppress(AgentError):
            if tag is not None and since is not None:
                self._write(since, self._store.clock() + TERM, ports.IfTag(tag))

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Renew the lease from another thread as long as the context is open."""
        with self._repeat(self.renew, RENEWAL):
            yield

    def release(self) -> None:
        """End the lease if this holder has it, so that the next one may claim it."""
        # A renewal may be on its way: the second attempt comes after it.
        if not self._end():
            self._end()
        self._tag = None

    def _end(self) -> bool:
        """False when the lease was changed meanwhile."""
        try:
            found = self._reader.lease(self._key)
        except NotFound:
            return True
        if found.value is None or found.value.holder != self._holder:
            return True
        return self._write(found.value.since, self._store.clock() - BEHIND, ports.IfTag(found.tag))

    def _write(self, since: datetime, until: datetime, condition: ports.Condition) -> bool:
        self._tag, self._since = None, since
        try:
            lease = Lease(self._holder, since, until, self._nonce)
            self._tag = self._store.write(self._key, records.encode(lease), condition)
        except (Conflict, OutcomeUnknown, NotFound):
            return False
        return True
