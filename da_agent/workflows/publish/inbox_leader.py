"""Detecting changes of the inbox and publishing it: the inbox leader, which has the inbox lease, does it for all."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from da_agent import ports
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
        self._part = Leadership()
        self._judged: Judged | None = None
        self._unable: Unable | None = None
        self.waiting = False
        """True while another process is publishing the inbox."""
        self.waits: str | None = None
        """Which process publishes, while this node waits for it."""

    @property
    def is_held(self) -> bool:
        """True when this node has the inbox lease, as far as it knows."""
        return self._part.has

    @property
    def unable(self) -> Unable | None:
        """The inbox that this node could not publish at its last attempt; None when that succeeded."""
        return self._unable

    def stand(self, poll_interval: timedelta) -> None:
        """Claim the inbox lease if it is free; asks the store only now and then."""
        self.waiting = False
        now = self._clock.now()
        if not self._part.asks(now):
            return
        if self._part.unable is not None:
            # The other nodes had their chance; the node that has the inbox lease by now tries again.
            self._part = replace(self._part, unable=None, pending=False)
        has = self._watching.claim(inbox_leader.term(poll_interval))
        # A new inbox leader does not know what happened before, so it checks the inbox.
        pending = self._part.pending or (has and not self._part.has)
        self._part = replace(self._part, has=has, asked_at=now, pending=pending)

    def leave(self) -> None:
        """Give up the inbox lease, so that another node can have it at once."""
        if self._part.has:
            self._part = replace(self._part, has=False)
            with suppress(AgentError):
                self._watching.release()

    def look(self, head: int | None, *, urgent: bool) -> bool:
        """Check the inbox for changes if this node should, and publish it. True when there may be a newer release now.

        `head` is the newest release. Raises when this node cannot publish the inbox. The other nodes may then try;
        until one has published it, or their time is over, each look raises NotHere again.
        """
        self.waiting = False
        self._part = replace(self._part, polls=self._part.polls + 1)
        if head is not None and not self._part.looks(urgent=urgent):
            return False
        # Stays pending until the inbox is decided, so an urgent look that gets no answer is repeated.
        self._part = replace(self._part, polls=0, pending=True)
        if head is None and first_configuration(self._store, self._ledger, self._inboxes, self._render):
            self._progress.say("Wrote the first configuration, from this node's environment")
        now, inbox = self._clock.now(), self._inboxes.list()
        if self._is_decided(inbox, head, now):
            self._part, self._unable = replace(self._part, pending=False, unable=None), None
            return False
        unable = self._part.unable
        if unable is not None and unable.fingerprint == inbox.fingerprint and self._part.steps_aside(now):
            raise NotHere(unable.reason)
        self.waiting = not self._publishing.claim()
        if self.waiting:
            self.waits = _publishes(self._publishing.other, self._store.clock())
        else:
            self._publish(inbox)
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
            verdict = self._make_release("the inbox changed")
        except AgentError as error:
            self._unable = Unable(inbox.fingerprint, self._clock.now(), str(error))
            self._part = replace(self._part, unable=self._unable)
            self.leave()
            raise
        finally:
            self._publishing.release()
        self._part, self._unable = replace(self._part, pending=False, unable=None), None
        if verdict.mistakes:
            self._progress.say("Refused the inbox: " + "; ".join(verdict.mistakes))
        else:
            self._progress.say(f"The inbox is release {verdict.release}")


def _publishes(lease: Lease | None, now: datetime) -> str:
    if lease is None:
        return "another node publishes the inbox"
    return f"{lease.holder} publishes the inbox since {max(0, round((now - lease.since).total_seconds()))} s"
