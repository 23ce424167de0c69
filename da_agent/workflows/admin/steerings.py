"""Orders of an admin that need no new contents: rollback, restart, pause, resume, retry."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from da_agent import ports
from da_agent.domain import texts
from da_agent.domain.display import rollout_text
from da_agent.domain.release.releases import Contents, Release
from da_agent.domain.rollout import rollouts
from da_agent.domain.rollout.rollouts import Denied, Note, Rollout, State
from da_agent.errors import Conflict, Corrupt, Interrupted, Invalid, NotFound, Unreachable
from da_agent.workflows.admin.completeness import Completeness
from da_agent.workflows.records.ledgers import Ledger, Top
from da_agent.workflows.records.notifications import Notifications, announce
from da_agent.workflows.records.rollouts import Make, Rollouts
from da_agent.workflows.upkeep.gc_lock import GcLock

ATTEMPTS = 20
"""How often a release is appended, or a record changed, on top of concurrent changes."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Done:
    """What was done, in one sentence. `release` is the release that was changed or made."""

    release: int
    sentence: str


class Steering:
    """Makes releases from old ones and changes records. Both name `who`; `nonce` returns a new random text."""

    def __init__(
        self,
        store: ports.Store,
        ledger: Ledger,
        records: Rollouts,
        notifications: Notifications,
        *,
        gc_lock: GcLock,
        transfers: ports.Transfers,
        who: str,
        nonce: Callable[[], str],
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._records = records
        self._notifications = notifications
        self._completeness = Completeness(store, ledger.reader, transfers)
        self._gc_lock = gc_lock
        self._who = who
        self._nonce = nonce

    # ---- new releases with old contents

    def rollback(self, number: int | None, reason: str | None = None) -> Done:
        """A new release with the contents of release `number`, or of the newest stable one with other contents.

        Invalid when that would change nothing, or when the release, or a later one with the same contents, is
        quarantined. StoreDamaged, naming what is missing, when the store no longer has something that the release
        needs.
        """
        # The old blobs may be about to be collected, and this machine has no copy. The gc lock keeps them until the
        # append.
        with self._gc_lock.alone(f"{self._who}, rolling back", self._nonce()) as held:
            top = self._top()
            back = self._ledger_release(number) if number is not None else self._stable_before(top)
            self._require_use(back, top)
            self._completeness.require(back)
            # Asked now: once the release is made, a store that does not answer changes nothing about that.
            stable = self._records.is_stable(back.number)

            def again(top: Top) -> Release:
                held.require()
                self._require_fit(back, top)
                return self._release(back.contents, reason or f"rollback to release {back.number}", back=back.number)

            made = self._append(again)
        careful = "" if stable else " It was never stable, so the canary nodes update first."
        return Done(made, f"Release {made} has the contents of release {back.number} again.{careful}")

    def restart(self, reason: str) -> Done:
        """A new release with the contents of the one that the nodes serve; every worker process starts anew for it.

        That is the newest release or, when that is quarantined, the one that the nodes have gone back to.
        """
        served = ""

        def again(top: Top) -> Release:
            nonlocal served
            back = self._way_back(top)
            release = back or self._readable(top)
            self._completeness.require(release)
            served = f"release {release.number}"
            if back is not None:
                self._require_fit(back, top)
                served = f"{served}, which the nodes serve because release {top.number} is quarantined"
            number = None if back is None else back.number
            return self._release(release.contents, reason, back=number, restart=True)

        made = self._append(again)
        return Done(made, f"Release {made} has the contents of {served}. Every node loads it in new processes.")

    def _way_back(self, top: Top) -> Release | None:
        """The release that nodes serve instead of a quarantined newest one; None when they serve, or move to, the
        newest.

        Invalid when there is no release to go back to.
        """
        record = self._records.readable(top.number)
        if record is None or record.state is not State.QUARANTINED:
            return None
        number = self._records.way_back(record)
        if number is None:
            raise Invalid(
                f"cannot restart: {rollout_text.quarantine(record)}; there is no older release to go back to."
                f" da-agent retry {top.number} --reason TEXT lets the nodes try it again"
            )
        return self._ledger.read(number)

    def _release(self, contents: Contents, reason: str, *, back: int | None = None, restart: bool = False) -> Release:
        """A release without a number; the append gives it one."""
        now = self._store.clock()
        return Release(
            0, self._nonce(), now, self._who, texts.reason(reason), contents, rollback_of=back, restart=restart
        )

    def _append(self, make: Callable[[Top], Release]) -> int:
        """Append the release and notify the nodes. Returns its number; Interrupted on Ctrl-C after the append."""
        # Looked up before the append: then only the rollout record stands between the release and the notifications.
        nodes = self._notifications.alive()

        def append(top: Top) -> Release:
            release = top.then(make(top))
            self._ledger.append(release)
            return release

        release = self._on_the_newest(append)
        number = release.number
        try:
            announce(release, self._records, self._notifications, nodes)
        except KeyboardInterrupt:
            # An admin who presses Ctrl-C now must not think that nothing has happened.
            raise Interrupted(
                f"stopped waiting; release {number} is made, and its rollout continues; da-agent status shows it"
            ) from None
        return number

    def _stable_before(self, top: Top) -> Release:
        """The newest stable release with other contents: repeating the same contents, as after a restart, would not
        help.
        """
        number = self._records.fallback(top.number)
        while number is not None and self._contents(number) in (None, top.contents):
            number = self._records.fallback(number)
        record = None if number is None else self._records.readable(number)
        if record is None or record.state is not State.STABLE:
            raise Invalid(
                f"cannot roll back: no stable release before {top.number} has other contents. Name a release, as in"
                f" da-agent rollback N; da-agent history lists them"
            )
        return self._ledger.read(record.release)

    def _contents(self, number: int) -> Contents | None:
        """The contents of release `number`; None when its manifest is gone or damaged."""
        try:
            return self._ledger.read(number).contents
        except (NotFound, Corrupt):
            return None

    def _require_use(self, back: Release, top: Top) -> None:
        newest, record = top.number, self._records.readable(back.number)
        if record is not None and record.state is State.QUARANTINED:
            raise Invalid(
                f"cannot roll back: {rollout_text.quarantine(record)};"
                f" run da-agent retry {back.number} --reason TEXT first"
            )
        same = top.release is not None and top.release.number == newest and top.contents == back.contents
        if not same:
            return
        head = record if back.number == newest else self._records.readable(newest)
        if head is None or head.state is not State.QUARANTINED:
            has = "is" if back.number == newest else f"has the contents of release {newest},"
            raise Invalid(
                f"nothing to do: release {back.number} {has} the newest one; da-agent status shows its rollout"
            )

    def _require_fit(self, back: Release, top: Top) -> None:
        """Contents that failed under a later number must not be released again under a new one. Invalid when they would
        be.
        """
        for number in range(top.number, back.number, -1):
            if self._contents(number) != back.contents:
                continue
            record = self._records.readable(number)
            if record is not None and record.state is State.QUARANTINED:
                raise Invalid(
                    f"cannot repeat release {back.number}: release {number} has the same contents, and"
                    f" {rollout_text.quarantine(record)}; run da-agent retry {number} --reason TEXT first"
                )
            if record is not None and record.state is State.STABLE:
                return

    # ---- records

    def pause(self, reason: str) -> Done:
        """No node switches until the cluster is resumed, not even to newer releases."""
        note = self._note(reason)
        record = self._change_newest(lambda record: rollouts.pause(record, note) if record.paused is None else record)
        assert record.paused is not None
        if record.paused == note:
            return Done(
                record.release,
                f"Paused: no node updates to release {record.release} or a newer one."
                " A node that has switched finishes.",
            )
        return Done(record.release, f"The cluster is paused already, {rollout_text.said(record.paused)}.")

    def resume(self, reason: str) -> Done:
        note = self._note(reason)
        record = self._change_newest(lambda record: rollouts.resume(record, note) if record.paused else record)
        if record.resumed != note:
            return Done(record.release, "The cluster is not paused.")
        self._wake()
        return Done(record.release, f"Resumed: the nodes go on to release {record.release}.")

    def retry(self, number: int, reason: str) -> Done:
        """Every node may try release `number` again. Invalid when it is not quarantined."""
        note = self._note(reason)
        self._ledger_release(number)

        def retried(record: Rollout, *_: object) -> Rollout | Denied:
            if record.state is not State.QUARANTINED:
                if record.retries and record.retries[-1] == note:
                    # This command's own retry, whose answer was lost; the record has been changed since.
                    return record
                return Denied(f"it is {record.state.value}, not quarantined")
            return rollouts.retry(record, note)

        try:
            _, denied = self._records.change(number, retried)
        except NotFound:
            denied = Denied("no node has begun it")
        if denied is not None:
            raise Invalid(f"cannot retry release {number}: {denied.reason}")
        newest = self._ledger.head(number)
        if newest != number:
            return Done(
                number,
                f"The nodes may try release {number} again. Release {newest} is the newest one, so they do that only"
                f" after da-agent rollback {number}.",
            )
        self._wake()
        return Done(number, f"Release {number} is retried: the nodes try it again.")

    def _change_newest(self, change: Callable[[Rollout], Rollout]) -> Rollout:
        """The newest release's record after `change`. A record that is closed meanwhile is not the newest: then it
        starts over.
        """

        def make(record: Rollout, *_: object) -> Rollout | Denied:
            return Denied("closed") if record.closed else change(record)

        return self._on_the_newest(lambda top: self._changed(top, make))

    def _changed(self, top: Top, make: Make) -> Rollout:
        newest = top.release if top.release is not None and top.release.number == top.number else None
        self._records.open(top.number, newest)
        record, denied = self._records.change(top.number, make)
        if denied is not None:
            raise Conflict(f"a newer release than {top.number} was published")
        return record

    # ---- shared

    def _on_the_newest(self, act: Callable[[Top], T]) -> T:
        """The result of `act` on the newest release. It is repeated when `act` raises Conflict, as there is a newer
        release.

        Unreachable after ATTEMPTS.
        """
        for _ in range(ATTEMPTS):
            try:
                return act(self._top())
            except Conflict:
                continue
        raise Unreachable(
            f"cannot change the newest release in {self._store.name}: other processes keep making newer ones; try again"
        )

    def _top(self) -> Top:
        top = self._ledger.top()
        if top.number == 0:
            raise NotFound(f"{self._store.name} has no release yet")
        return top

    def _readable(self, top: Top) -> Release:
        if top.release is None or top.release.number != top.number:
            raise Corrupt(
                f"cannot restart: release {top.number} in {self._store.name} cannot be read; da-agent rollback makes a"
                f" release with older contents"
            )
        return top.release

    def _ledger_release(self, number: int) -> Release:
        try:
            return self._ledger.read(number)
        except NotFound as absent:
            raise NotFound(
                f"there is no release {number} in {self._store.name}; da-agent history lists the releases"
            ) from absent

    def _note(self, reason: str) -> Note:
        return Note(self._who, self._store.clock(), texts.reason(reason))

    def _wake(self) -> None:
        self._notifications.wake(self._notifications.alive())
