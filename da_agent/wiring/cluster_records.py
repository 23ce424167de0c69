"""The store, and what reads and changes its records. Each is built on first use, and once."""

from __future__ import annotations

import random
import secrets
import time
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from da_agent.domain.node.paths import Staged
from da_agent.domain.store import keys
from da_agent.domain.store.locations import DirectoryLocation, Location, credentials_of
from da_agent.errors import AgentError
from da_agent.wiring.hosts import Host, new_nonce

if TYPE_CHECKING:
    from da_agent import ports
    from da_agent.domain.node.notifications import Key
    from da_agent.domain.node.rpc_ports import Credentials
    from da_agent.workflows.records.departures import Departures
    from da_agent.workflows.records.inboxes import Inboxes
    from da_agent.workflows.records.leases import Leases
    from da_agent.workflows.records.ledgers import Ledger
    from da_agent.workflows.records.notifications import Notifications
    from da_agent.workflows.records.readers import Reader
    from da_agent.workflows.records.reports import Reports
    from da_agent.workflows.records.rollouts import Rollouts
    from da_agent.workflows.upkeep.gc_lock import GcLock


class ClusterRecords(Host):
    """The cluster's records, as every machine that can reach the store uses them."""

    @cached_property
    def store(self) -> ports.Store:
        return open_store(self.location, credentials_of(self.environment))

    @cached_property
    def reader(self) -> Reader:
        from da_agent.workflows.records.readers import Reader

        return Reader(self.store)

    @cached_property
    def ledger(self) -> Ledger:
        from da_agent.workflows.records.ledgers import Ledger

        return Ledger(self.store, self.reader)

    @cached_property
    def inboxes(self) -> Inboxes:
        from da_agent.workflows.records.inboxes import Inboxes

        return Inboxes(self.store, self.reader)

    @cached_property
    def reports(self) -> Reports:
        from da_agent.workflows.records.reports import Reports

        return Reports(self.store, self.reader)

    @cached_property
    def rollouts(self) -> Rollouts:
        from da_agent.workflows.records.rollouts import Rollouts

        return Rollouts(self.store, self.reader, nonce=new_nonce, pause=_leave_to_others)

    @cached_property
    def gc_lock(self) -> GcLock:
        from da_agent.workflows.upkeep.gc_lock import GcLock

        return GcLock(self.store, self.reader, self.clock)

    def lease(self, holder: str, key: str = keys.PUBLISHING) -> Leases:
        """A new participant in the lease `key`, with its own nonce. Callers do not share one."""
        from da_agent.adapters.heartbeats import beating
        from da_agent.workflows.records.leases import Leases

        return Leases(self.store, self.reader, holder=holder, nonce=new_nonce(), key=key, repeat=beating)

    @cached_property
    def departures(self) -> Departures:
        from da_agent.workflows.records.departures import Departures

        return Departures(self.store, self.ledger, self.rollouts, self.reports)

    @cached_property
    def notifications(self) -> Notifications:
        from da_agent.adapters.notifications import DatagramNotifier
        from da_agent.workflows.records.notifications import Notifications

        return Notifications(self.store, self.reports, DatagramNotifier(), self.notification_key, self.clock)

    def notification_key(self) -> Key | None:
        """What notifications of the cluster are signed with; it follows from its current configuration."""
        from da_agent.domain.config import configurations
        from da_agent.domain.node import notifications

        data = self._configuration()
        return None if data is None else notifications.key_of(configurations.parse(data))

    def rpc_credentials(self) -> Credentials | None:
        """The credentials in the environment, or else in the cluster's current configuration; None without any."""
        from da_agent.domain.config import configurations
        from da_agent.domain.node import rpc_ports

        found = rpc_ports.given(self.environment)
        if found is not None:
            return found
        data = self._configuration()
        return None if data is None else rpc_ports.configured(configurations.parse(data))

    def _configuration(self) -> bytes | None:
        """The configuration that this node serves; elsewhere the newest release's, or None when there is none."""
        try:
            return Staged(self.paths.current).config.read_bytes()
        except OSError:
            release = self.ledger.top().release
            return None if release is None else self.reader.blob(release.contents.config, release)

    def admit(self) -> None:
        """Raise unless the store is fit for a cluster and is still the same store."""
        # First, because `require_fit` writes to the store: an empty folder below a lost mount must stay untouched.
        self.recognise()
        self.require_fit()

    def recognise(self) -> None:
        """Raise Unreachable when the store lacks releases that it had: it may not be mounted."""
        from da_agent.workflows.upkeep.recognitions import recognise

        head = recognise(self.store, self.ledger, self.reports, self._live(), self.used_stores)
        if head is not None:
            self.remember(head)

    def remember(self, release: int) -> None:
        """Record, if possible, that this machine has used the store with `release`. A changed mount is then noticed."""
        from da_agent.workflows.upkeep.recognitions import remember

        if self.used_stores is not None:
            with suppress(AgentError):
                remember(self.store, release, self.used_stores)

    def require_fit(self) -> None:
        """Raise unless the store is fit for a cluster. The store is tested at first contact."""
        from da_agent.workflows.upkeep.conformance import require_fit

        require_fit(self.store, self.race, self.conformances, secrets.token_hex(8))

    @cached_property
    def race(self) -> ports.Race:
        from da_agent.adapters.races import run_together

        return run_together

    @cached_property
    def conformances(self) -> ports.Conformances:
        from da_agent.adapters.conformance import ConformanceFolder

        return ConformanceFolder(self._conformance_folder)

    @cached_property
    def used_stores(self) -> ports.UsedStores | None:
        """The record of the stores used here; None for a bucket, which has no mount that could vanish."""
        from da_agent.adapters.conformance import UsedStoreFolder

        if isinstance(self.location, DirectoryLocation):
            # Without a writable folder there is no record.
            with suppress(AgentError):
                return UsedStoreFolder(self._conformance_folder)
        return None

    @property
    def _conformance_folder(self) -> Path:
        return self.paths.conformances if self.is_node else self.scratch / "conformance"

    def _live(self) -> int | None:
        """The live release of the node on this machine; None on other machines or with another store."""
        from da_agent.adapters.node_states import NodeStateFile

        node_state = None
        if self.is_node and not self._names_another:
            # For a user who may not read the node state, the reports suffice.
            with suppress(AgentError):
                node_state = NodeStateFile(self.paths.node_state).load()
        return None if node_state is None else node_state.live


def open_store(location: Location, credentials: tuple[str, str] | None) -> ports.Store:
    if isinstance(location, DirectoryLocation):
        from da_agent.adapters.directory_store import DirectoryStore

        return DirectoryStore(location.path)
    from da_agent.adapters.s3_store import S3Store

    return S3Store(location, credentials)


def _leave_to_others(losses: int) -> None:
    """Pause after `losses` lost write races. It does not use the clock, whose waits a notification cuts short."""
    from da_agent.domain.rollout import slots

    time.sleep(slots.pause_after(losses, random.random()).total_seconds())  # noqa: S311
