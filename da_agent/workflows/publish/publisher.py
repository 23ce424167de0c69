"""From the inbox to the next release of the ledger."""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import timedelta

from da_agent import ports
from da_agent.domain import records, texts
from da_agent.domain.config.settings import Settings
from da_agent.domain.release.releases import Release
from da_agent.domain.store import keys
from da_agent.domain.store.blobs import PUT_BACK, Blob
from da_agent.domain.store.inboxes import Inbox, Seen, Verdict
from da_agent.errors import AgentError, Conflict, Invalid, NotFound, StoreDamaged, TimedOut
from da_agent.workflows.publish.drafts import Draft, Drafts, Prepared
from da_agent.workflows.records.inboxes import Inboxes
from da_agent.workflows.records.ledgers import Ledger, Top
from da_agent.workflows.records.notifications import Notifications, announce
from da_agent.workflows.records.rollouts import Rollouts
from da_agent.workflows.upkeep.gc_lock import GcLock

LONGEST_WAIT = timedelta(seconds=60)
"""How long an inbox that does not become quiet may keep a node from its other work."""

ATTEMPTS = 20
"""How often an inbox that keeps changing is read again before the publisher gives up with an error."""


class Publisher:
    """Makes releases. The records name `who`; `nonce` returns a new random text each time."""

    def __init__(
        self,
        store: ports.Store,
        ledger: Ledger,
        inboxes: Inboxes,
        transfers: ports.Transfers,
        drafts: Drafts,
        *,
        clock: ports.Clock,
        notifications: Notifications,
        gc_lock: GcLock,
        rollouts: Rollouts,
        who: str,
        nonce: Callable[[], str],
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._reader = ledger.reader
        self._inboxes = inboxes
        self._transfers = transfers
        self._drafts = drafts
        self._clock = clock
        self._gc_lock = gc_lock
        self._rollouts = rollouts
        self._notifications = notifications
        self._who = who
        self._nonce = nonce

    def publish(self, reason: str, own: Collection[str] = (), *, mend: bool = False) -> Verdict:
        """Publish the inbox as it is now. The verdict: a new release, the newest one when it is equal, or the mistakes.

        Waits until the inbox has not been written to for the quiet period. `own` keys were written by the caller, who
        knows that they are complete. An invalid inbox is recorded and returned, not raised. NotHere and Unreachable
        leave nothing behind: another node, or a later attempt, may succeed. TimedOut when the inbox keeps changing.

        `mend`: when no new release is made, every blob of the newest one is read in the store. A missing or damaged
        blob is put back. StoreDamaged, naming the blobs that neither the inbox nor this machine has.
        """
        for _ in range(ATTEMPTS):
            top = self._ledger.top()
            inbox = self._quiet(top, own)
            verdict = self._inboxes.verdict()
            if verdict is not None and verdict.fingerprint == inbox.fingerprint:
                if mend:
                    self._mend(top, verdict.seen)
                return verdict
            try:
                with self._drafts.prepare(Draft(inbox, {}, verdict.known if verdict else {}), top.contents) as made:
                    return self._append(inbox, made, top, reason, mend=mend)
            except Conflict:
                continue
            except Invalid as refused:
                if self._inboxes.list().fingerprint == inbox.fingerprint:
                    return self._remember(inbox, None, refused.mistakes, ())
        raise TimedOut(
            f"cannot publish the inbox of {self._store.name}: it keeps changing while it is read. A node publishes it"
            " once the writes stop"
        )

    def publish_prepared(
        self, prepared: Prepared, reason: str, base: Inbox, written: Mapping[str, str]
    ) -> Verdict | None:
        """Publish what was validated before it was written. `written` are the tags of the caller's keys, "" for
        deleted.

        None when the inbox is no longer `base` with those keys: then it must be read again.
        """
        inbox = self._inboxes.list()
        expected = {entry.key: entry.tag for entry in base.entries} | dict(written)
        if {entry.key: entry.tag for entry in inbox.entries} != {key: tag for key, tag in expected.items() if tag}:
            return None
        try:
            return self._append(inbox, prepared, self._ledger.top(), reason, mend=True)
        except Conflict:
            return None

    def _append(self, inbox: Inbox, prepared: Prepared, top: Top, reason: str, *, mend: bool) -> Verdict:
        if self._inboxes.list().fingerprint != inbox.fingerprint:
            raise Conflict("the inbox changed while it was read")
        seen = tuple(Seen(entry.key, entry.tag, prepared.blobs[entry.key]) for entry in inbox.entries)
        if top.release is not None and (top.release.number, top.contents) == (top.number, prepared.contents):
            if mend:
                self._mend(top, seen)
            return self._remember(inbox, top.number, (), seen)
        # Blobs first: a release never names bytes that the store does not have.
        brought = self._gc_lock.bring(lambda: self._transfers.upload(prepared.bodies))
        now = self._store.clock()
        release = top.then(Release(0, self._nonce(), now, self._who, texts.reason(reason), prepared.contents))
        # Looked up before the append. Between the release and the notifications stand only the verdict and the record,
        # which spare the nodes requests.
        nodes = self._notifications.alive()
        self._ledger.append(release)
        verdict = Verdict(inbox.fingerprint, release.number, (), seen, self._who, release.published_at)
        # The release is published, whatever the store answers from here on. An inbox without a verdict is published
        # again by a node, which finds that it is this release.
        with suppress(AgentError):
            self._store.write(keys.VERDICT, records.seal(verdict), ports.Always())
        announce(release, self._rollouts, self._notifications, nodes)
        with suppress(AgentError):
            if not self._gc_lock.holds(brought):
                # This process was suspended before the append, and the collector may have removed the uploaded blobs.
                self._transfers.upload(prepared.bodies)
        return verdict

    def _mend(self, top: Top, seen: Collection[Seen]) -> None:
        if top.release is None:
            return
        places = {each.blob: each.key for each in seen}

        def find(blob: Blob) -> bytes | None:
            """Look in the inbox. An object that has changed since no longer has these bytes."""
            return self._copy(places[blob], blob) if blob in places else None

        lost = self._transfers.mend(top.release.contents.blobs(), find)
        if lost:
            named = ", ".join(sorted(map(keys.blob_key, lost)))
            raise StoreDamaged(
                f"cannot repair release {top.release.number} in {self._store.name}: neither the inbox nor this machine"
                f" has {named}; {PUT_BACK} (da-agent status says which nodes serve what)"
            )

    def _copy(self, key: str, blob: Blob) -> bytes | None:
        try:
            return self._reader.copy(key, blob)
        except NotFound:
            return None

    def _remember(
        self, inbox: Inbox, release: int | None, mistakes: tuple[str, ...], seen: tuple[Seen, ...]
    ) -> Verdict:
        verdict = Verdict(inbox.fingerprint, release, texts.mistakes(mistakes), seen, self._who, self._store.clock())
        self._store.write(keys.VERDICT, records.seal(verdict), ports.Always())
        return verdict

    def _quiet(self, top: Top, own: Collection[str]) -> Inbox:
        """The inbox once it has not been written to for the quiet period; TimedOut when the writing continues."""
        begun, period = self._clock.now(), None
        while period is None or self._clock.now() < begun + max(LONGEST_WAIT, 3 * period):
            inbox = self._inboxes.list()
            verdict = self._inboxes.verdict()
            if verdict is not None and verdict.fingerprint == inbox.fingerprint:
                return inbox
            if period is None:
                period = self._quiet_period(top)
            others = Inbox(tuple(entry for entry in inbox.entries if entry.key not in own))
            at = others.quiet_at(period)
            left = at - self._store.clock() if at is not None else timedelta()
            if left <= timedelta():
                return inbox
            # A modification time in the future (a copied file, a wrong clock) is no reason to wait longer than this.
            self._clock.wait(min(left, period))
            if left > period and self._inboxes.list() == inbox:
                return inbox
        raise TimedOut(
            f"cannot publish the inbox of {self._store.name} yet: it keeps changing. A node publishes it once the"
            " writes stop"
        )

    def _quiet_period(self, top: Top) -> timedelta:
        """The quiet period of the newest release; the default without one, and when this agent cannot use its settings.

        A configuration that the store has lost or damaged is put back from the inbox or from this machine. When neither
        has it, LONGEST_WAIT is the quiet period, so that the release that replaces it can still be published.
        """
        if top.release is None:
            return Settings().quiet_period
        try:
            return self._mended(top.release).quiet_period
        except StoreDamaged:
            return LONGEST_WAIT
        except Invalid:
            # An older agent published a configuration that this agent considers invalid.
            return Settings().quiet_period

    def _mended(self, release: Release) -> Settings:
        try:
            return self._reader.settings(release)
        except StoreDamaged:
            if self._transfers.mend([release.contents.config], lambda blob: self._copy(keys.CONFIG, blob)):
                raise
            return self._reader.settings(release)
