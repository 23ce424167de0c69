"""Reading the newest release, its rollout record and the fallback, and offering them to the node."""

from dataclasses import dataclass

from da_agent import ports
from da_agent.domain.node import used_stores
from da_agent.domain.node.ledger_views import LedgerView, Newest, Source
from da_agent.domain.release.releases import Release
from da_agent.errors import Corrupt, NotFound, UnknownFormat, Unreachable
from da_agent.workflows.node.converger import Converger
from da_agent.workflows.node.rollout_client import RolloutClient
from da_agent.workflows.records.ledgers import Ledger


@dataclass(frozen=True, slots=True)
class Polled:
    """The newest release (None before there is one), and whether its record was read in the same request."""

    head: int | None
    has_record: bool = False


class ReleasePoller:
    """Finds new releases in the store. Everything kept here may be lost at any time."""

    def __init__(
        self,
        *,
        store: ports.Store,
        ledger: Ledger,
        node: Converger,
        rollout_client: RolloutClient,
        clock: ports.Clock,
        progress: ports.Progress,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._node = node
        self._rollout_client = rollout_client
        self._clock = clock
        self._progress = progress
        self._view = LedgerView()

    @property
    def newest(self) -> Newest | None:
        """The newest release that was offered to the node; None before there is one."""
        return self._view.newest

    def poll(self, *, certain: bool) -> Polled:
        """Find the newest release. Without `certain`, an open rollout record may tell that there is none: its publisher
        closes it.

        Unreachable also for an empty directory where a disk should be mounted, and for a store that has lost releases.
        A node that has served release 7 knows that it existed: an empty ledger then counts as no answer.
        """
        head = self._view.head
        source = self._source(record_tells=not certain and self._rollout_client.tells_of_newer(head))
        if source is not Source.RECORD or head is None:
            return self._read_ledger(source)
        try:
            self._look(head, woken=False)
        except Corrupt:
            # The store has answered; the next read of the record reports the damage.
            return self._read_ledger(self._source())
        return self._read_ledger(self._source()) if self._rollout_client.is_over else Polled(head, True)

    def forget(self) -> None:
        """The store has not answered: what it has, and the state of the other nodes, is unknown."""
        self._rollout_client.forget()
        self._view = self._view.unanswered()

    def offer(self, polled: Polled, *, woken: bool) -> None:
        """Pass the newest release, its rollout record and the fallback to the node. `woken`: the record is read
        although little can have changed.
        """
        if polled.head is None:
            return
        if self._view.needs_manifest(polled.head):
            self._view = self._view.read(self._read_newest(polled.head))
        if not polled.has_record:
            self._look(polled.head, woken=woken)
        fallback = self._rollout_client.fallback
        if self._view.needs_offer(fallback):
            found = (self._release, None if fallback is None else self._read(fallback))
            self._node.offer(*(release for release in found if release is not None))
            self._view = self._view.offered(fallback)

    @property
    def _release(self) -> Release | None:
        return None if self._view.newest is None else self._view.newest.release

    def _source(self, *, record_tells: bool = False) -> Source:
        now, is_over = self._clock.elapsed(), self._rollout_client.is_over
        return self._view.source(record_tells=record_tells, is_over=is_over, now=now)

    def _read_ledger(self, source: Source) -> Polled:
        is_over = self._rollout_client.is_over
        found = self._ledger.head(None if source is Source.LISTING else self._view.head)
        live = self._node.node_state().live
        self._view = self._view.asked(found, source, is_over=is_over, now=self._clock.elapsed())
        complaint = used_stores.behind_node(self._store.name, found, live)
        if complaint is not None:
            raise Unreachable(complaint)
        return Polled(found)

    def _look(self, head: int, *, woken: bool) -> None:
        self._rollout_client.look(head, self._release, woken=woken, skip=self._node.skipped())

    def _read_newest(self, number: int) -> Newest:
        """The newest release; that its manifest cannot be read is logged once. UnknownFormat when a newer agent made
        it.
        """
        try:
            return Newest(number, self._ledger.read(number))
        except UnknownFormat:
            # Its rollout must not be opened with another strategy than its own.
            raise
        except (NotFound, Corrupt) as error:
            newest = Newest(number, None, f"cannot read release {number} from the ledger: {error}")
        if newest != self._view.newest and newest.problem is not None:
            self._progress.say(newest.problem)
        return newest

    def _read(self, number: int) -> Release | None:
        try:
            return self._ledger.read(number)
        except (NotFound, Corrupt):
            return None
