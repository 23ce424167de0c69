"""Detecting changes of the inbox and publishing it: the inbox leader, which has the inbox lease, does it for all."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

from da_agent import ports
from da_agent.domain import texts
from da_agent.domain.node import inbox_leader
from da_agent.domain.node.inbox_leader import Judged, Leadership, Unable
from da_agent.domain.store.inboxes import Inbox, Verdict
from da_agent.domain.store.leases import Lease
from da_agent.errors import AgentError, NotHere
from da_agent.workflows.records.inboxes import Inboxes, first_configuration
from da_agent.workflows.records.leases import Leases
from da_agent.workflows.records.ledgers import Ledger


class InboxLeader:
    """One node's part in watching and publishing the inbox. Its memory may be lost at any time."""

    def __init__(
        self,
        *,
        store: ports.Store,
        ledger: Ledger,
        inboxes: Inboxes,
        publish: Callable[[str], Verdict],
        publishing: Leases,
        watching: Leases,
        clock: ports.Clock,
        progress: ports.Progress,
        render: Callable[[], bytes],
    ) -> None:
        """`publish` makes a release of the inbox, for a reason. `publishing` is the lease for publishing, `watching`
        the inbox lease. `render` returns a first configuration.
        """
        self._store = store
        self._ledger = ledger
        self._make_release = publish
        self._publishing = publishing
        self._watching = watching
        self._clock = clock
        self._progress = progress
        self._render = render
        self._inboxes = inboxes
        self._leadership = Leadership()
        self._judged: Judged | None = None
        self.waits: str | None = None
        """Which process publishes the inbox while this node waits for it; None when it does not wait."""

    @property
    def is_held(self) -> bool:
        """True when this node has the inbox lease, as far as it knows."""
        return self._leadership.has

    @property
    def unable(self) -> Unable | None:
        """The inbox that this node could not publish at its last attempt; None when that succeeded."""
        return self._leadership.unable

    def stand(self, poll_interval: timedelta) -> None:
        """Claim the inbox lease if it is free; asks the store only now and then."""
        self.waits = None
        now = self._clock.now()
        if not self._leadership.asks(now):
            return
        if self._leadership.yields:
            self._leadership = self._leadership.resumed()
        has = self._watching.claim(inbox_leader.term(poll_interval))
        self._leadership = self._leadership.asked(now, has=has)

    def leave(self) -> None:
        """Give up the inbox lease, so that another node can have it at once."""
        if self._leadership.has:
            self._leadership = self._leadership.left()
            with suppress(AgentError):
                self._watching.release()

    def look(self, head: int | None, *, urgent: bool) -> bool:
        """Check the inbox for changes if this node should, and publish it. True when there may be a newer release now.

        `head` is the newest release. Raises when this node cannot publish the inbox. The other nodes may then try;
        until one has published it, or their time is over, each look raises NotHere again.
        """
        self.waits = None
        self._leadership = self._leadership.polled()
        if head is not None and not self._leadership.looks(urgent=urgent):
            return False
        self._leadership = self._leadership.looked()
        if head is None and first_configuration(self._store, self._ledger, self._inboxes, self._render):
            self._progress.say("Wrote the first config.yml to the inbox, from this node's environment")
        now, inbox = self._clock.now(), self._inboxes.list()
        if self._is_decided(inbox, head, now):
            self._leadership = self._leadership.decided()
            return False
        unable = self._leadership.unable
        if unable is not None and unable.fingerprint == inbox.fingerprint and self._leadership.is_aside(now):
            raise NotHere(unable.reason)
        if self._publishing.claim():
            self._publish(inbox)
        else:
            self.waits = _publishes(self._publishing.other, self._store.clock())
        return True

    def _is_decided(self, inbox: Inbox, head: int | None, now: datetime) -> bool:
        if self._judged is not None and self._judged.covers(inbox.fingerprint, head, now=now):
            return True
        verdict = self._inboxes.verdict()
        decided = verdict is not None and verdict.fingerprint == inbox.fingerprint
        self._judged = Judged(inbox.fingerprint, head, now) if decided else None
        return decided

    def _publish(self, inbox: Inbox) -> None:
        try:
            with self._publishing.renewed():
                verdict = self._make_release("the inbox changed")
        except AgentError as error:
            self._leadership = self._leadership.failed(
                Unable(inbox.fingerprint, self._clock.now(), texts.reason(error))
            )
            self.leave()
            raise
        finally:
            self._publishing.release()
        self._leadership = self._leadership.decided()
        if verdict.mistakes:
            self._progress.say("The inbox is not valid: " + "; ".join(verdict.mistakes))
        else:
            self._progress.say(f"The inbox is release {verdict.release}")


def _publishes(lease: Lease | None, now: datetime) -> str:
    if lease is None:
        return "another node is publishing the inbox"
    return f"{lease.holder} has been publishing the inbox for {max(0, round((now - lease.since).total_seconds()))} s"
