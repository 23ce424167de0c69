"""Which node looks at the inbox, and when: one for all, so that the others ask the store for the next release only.

Only the number of requests depends on the inbox lease. With two leaders, or with none for a while, the contents of the
inbox still become one release, sooner or later.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from da_agent.domain.store.polls import due

ASK = timedelta(seconds=30)
"""How often a node asks for the inbox lease, and how often its holder renews it."""

EVERY = 2
"""Polls from one look at the inbox to the next."""

ASIDE = timedelta(seconds=60)
"""How long a node leaves an inbox that it could not publish to others."""

TRUST = timedelta(minutes=5)
"""How long a node trusts, while the ledger does not change, that the newest verdict is the one it knows."""


@dataclass(frozen=True, slots=True)
class Judged:
    """An inbox that has its verdict, and the newest release of the ledger when this node read the verdict."""

    fingerprint: str
    head: int | None
    at: datetime

    def covers(self, fingerprint: str, head: int | None, *, now: datetime) -> bool:
        """False when there may have been a verdict on another inbox since: an admin may put old files back."""
        return (fingerprint, head) == (self.fingerprint, self.head) and not due(self.at, TRUST, now=now)


@dataclass(frozen=True, slots=True)
class Unable:
    """An inbox that this node could not publish, since when, and why."""

    fingerprint: str
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Leadership:
    """What one node knows of its own part in the inbox lease.

    has        whether this node has the inbox lease; only the store knows for certain
    asked_at   when this node last asked for the lease; None: never
    polls      the number of polls since this node last looked at the inbox
    pending    whether the inbox that it last saw has no verdict yet, or it could not see the inbox
    unable     the inbox that it could not publish at its last attempt; None when that succeeded
    yields     whether it leaves that inbox to other nodes for a while
    """

    has: bool = False
    asked_at: datetime | None = None
    polls: int = 0
    pending: bool = False
    unable: Unable | None = None
    yields: bool = False

    # ---- what happens

    def asked(self, now: datetime, *, has: bool) -> "Leadership":
        """The node has asked for the lease. A new inbox leader does not know what happened before, so it looks at the
        inbox.
        """
        return replace(self, has=has, asked_at=now, pending=self.pending or (has and not self.has))

    def left(self) -> "Leadership":
        """The node has given up the lease."""
        return replace(self, has=False)

    def polled(self) -> "Leadership":
        """A poll begins."""
        return replace(self, polls=self.polls + 1)

    def looked(self) -> "Leadership":
        """The node looks at the inbox. This stays pending until the inbox is decided: a look without an answer is
        repeated.
        """
        return replace(self, polls=0, pending=True)

    def decided(self) -> "Leadership":
        """The inbox has its verdict."""
        return replace(self, pending=False, unable=None, yields=False)

    def failed(self, unable: Unable) -> "Leadership":
        """The node could not publish the inbox, and leaves it to others."""
        return replace(self, unable=unable, yields=True)

    def resumed(self) -> "Leadership":
        """The other nodes had their chance; the node that has the inbox lease by now tries again."""
        return replace(self, pending=False, yields=False)

    # ---- what follows

    def is_aside(self, now: datetime) -> bool:
        """Whether this node still leaves to others what it could not publish."""
        return self.yields and self.unable is not None and not due(self.unable.at, ASIDE, now=now)

    def asks(self, now: datetime) -> bool:
        """Whether to ask for the inbox lease, or to renew it."""
        return not self.is_aside(now) and due(self.asked_at, ASK, now=now)

    def looks(self, *, urgent: bool) -> bool:
        """Whether to look at the inbox with this poll. While something is pending, nodes without the inbox lease look
        as well."""
        return urgent or self.pending or (self.has and self.polls >= EVERY)


def term(poll_interval: timedelta) -> timedelta:
    """How long the inbox lease lasts without being renewed: two renewals may be missed."""
    return 3 * max(ASK, poll_interval)
