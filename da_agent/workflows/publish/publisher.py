"""From the inbox to the next release of the ledger."""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import timedelta

from da_agent import ports
from da_agent.domain import records
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
"""How long an inbox that does not become quiet keeps a node from everything else."""

ATTEMPTS = 20
"""How often an inbox that keeps changing is read again before a person is told."""


class Publisher:
    """Makes releases. `who` goes into the records; `nonce` gives a new random text each time."""

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
        """What became of the inbox as it is now: published as a release, equal to the newest one, or refused.

        Waits until nobody has written to the inbox for the quiet period; `own` keys were written by the caller, who
        knows that they are complete. A refusal is remembered and returned, not raised. NotHere and Unreachable leave
        nothing behind: another node, or a later time, may succeed.

        `mend`: where that makes no new release, every blob of the newest one is read in the store, and put back where
        it is missing or damaged; StoreDamaged, naming those that neither the inbox nor this machine has.
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
        raise TimedOut(f"the inbox of {self._store.name} keeps changing while it is read: nothing was published")

    def publish_prepared(
        self, prepared: Prepared, reason: str, base: Inbox, written: Mapping[str, str]
    ) -> Verdict | None:
        """Adopt what was validated before it was written: `written` are the tags of our own keys ("" for deleted).

        None when the inbox is no longer `base` with our keys: then it must be read anew.
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
        release = top.then(Release(0, self._nonce(), self._store.clock(), self._who, reason, prepared.contents))
        # Looked up before the append: nothing stands between the release and the notifies but what spares the nodes
        # requests, the verdict on the inbox and the record.
        nodes = self._notifications.alive()
        self._ledger.append(release)
        verdict = Verdict(inbox.fingerprint, release.number, (), seen, self._who, release.published_at)
        # The release is published, whatever the store answers from here on. A node publishes an inbox without a verdict
        # once more, and finds that it is this release.
        with suppress(AgentError):
            self._store.write(keys.VERDICT, records.seal(verdict), ports.Always())
        announce(release, self._rollouts, self._notifications, nodes)
        with suppress(AgentError):
            if not self._gc_lock.holds(brought):
                # This process stood still before the append, and the collector may have removed what it brought.
                self._transfers.upload(prepared.bodies)
        return verdict

    def _mend(self, top: Top, seen: Collection[Seen]) -> None:
        if top.release is None:
            return
        places = {each.blob: each.key for each in seen}

        def find(blob: Blob) -> bytes | None:
            """In the inbox: what has been changed since is not the same bytes any more."""
            return self._copy(places[blob], blob) if blob in places else None

        lost = self._transfers.mend(top.release.contents.blobs(), find)
        if lost:
            named = ", ".join(sorted(map(keys.blob_key, lost)))
            raise StoreDamaged(
                f"cannot mend release {top.release.number} in {self._store.name}: neither the inbox nor this machine"
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
        verdict = Verdict(inbox.fingerprint, release, mistakes, seen, self._who, self._store.clock())
        self._store.write(keys.VERDICT, records.seal(verdict), ports.Always())
        return verdict

    def _quiet(self, top: Top, own: Collection[str]) -> Inbox:
        """The inbox once nobody has written to it for the quiet period; TimedOut when somebody goes on writing."""
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
        raise TimedOut(f"the inbox is written again and again in {self._store.name}: it is published once it is quiet")

    def _quiet_period(self, top: Top) -> timedelta:
        """That of the newest release; the default before there is one, and where this agent cannot use its settings.

        A configuration that the store has lost, or has other bytes for, is put back from the inbox or this machine.
        Where neither has it, the release that replaces it is not kept out: the longest wait counts then.
        """
        if top.release is None:
            return Settings().quiet_period
        try:
            return self._mended(top.release).quiet_period
        except StoreDamaged:
            return LONGEST_WAIT
        except Invalid:
            # An older agent has published what this one refuses.
            return Settings().quiet_period

    def _mended(self, release: Release) -> Settings:
        try:
            return self._reader.settings(release)
        except StoreDamaged:
            if self._transfers.mend([release.contents.config], lambda blob: self._copy(keys.CONFIG, blob)):
                raise
            return self._reader.settings(release)
