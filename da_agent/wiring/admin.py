"""The objects of a machine that can reach the store, configured by its environment. Each is built on first use.

Each module is imported where its object is built. A command that needs no S3 does not load boto3, and `--help` loads
nothing.
"""

from __future__ import annotations

import os
import random
import secrets
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from da_agent import files
from da_agent.domain.node import variables
from da_agent.domain.node.paths import Paths, Staged
from da_agent.domain.store import keys
from da_agent.domain.store.locations import DirectoryLocation, Location, credentials_of, location_of_environment
from da_agent.errors import AgentError, Invalid, NotHere

if TYPE_CHECKING:
    from da_agent import ports
    from da_agent.adapters.progress import Watched
    from da_agent.domain.node.nodes import Node
    from da_agent.domain.node.rpc_ports import Credentials
    from da_agent.domain.packages.wheels import Target
    from da_agent.workflows.admin.statuses import There
    from da_agent.workflows.admin.steerings import Steering
    from da_agent.workflows.publish.drafts import Drafts
    from da_agent.workflows.publish.plans import Plans
    from da_agent.workflows.publish.publisher import Publisher
    from da_agent.workflows.publish.pushes import Pushes
    from da_agent.workflows.records.departures import Departures
    from da_agent.workflows.records.inboxes import Inboxes
    from da_agent.workflows.records.leases import Leases
    from da_agent.workflows.records.ledgers import Ledger
    from da_agent.workflows.records.notifications import Notifications
    from da_agent.workflows.records.readers import Reader
    from da_agent.workflows.records.reports import Reports
    from da_agent.workflows.records.rollouts import Rollouts
    from da_agent.workflows.upkeep.garbage import Collected
    from da_agent.workflows.upkeep.gc_lock import GcLock


class Admin:
    """What every machine needs: the store, its records, and the ways to publish to it.

    An admin's machine has only the store's address. On a node, the node's own folders are used.
    """

    def __init__(self, environment: Mapping[str, str] | None = None, store: str | None = None) -> None:
        """`store` is a URL that overrides the environment's. None for `environment` means os.environ."""
        self.environment = dict(os.environ if environment is None else environment)
        self._names_another = bool(store) and store != self.environment.get("DA_AGENT_STORE")
        if store:
            self.environment["DA_AGENT_STORE"] = store

    # ---- identity and location

    @cached_property
    def node(self) -> Node:
        return variables.parse_node(self.environment, root=os.geteuid() == 0)

    @cached_property
    def paths(self) -> Paths:
        return Paths(self.node.root)

    @property
    def is_node(self) -> bool:
        """True when an agent has ever run on this machine below this root."""
        return self.paths.agent.is_dir()

    @cached_property
    def name(self) -> str:
        """The node's name in the store: DA_AGENT_NODE, or a name that is generated once and kept."""
        given = self.environment.get("DA_AGENT_NODE")
        if given:
            return given
        try:
            return self.paths.identity.read_text(encoding="utf-8").strip()
        except OSError:
            pass
        made = f"{socket.gethostname()}-{secrets.token_hex(3)}"
        if self.is_node:
            with files.on_this_node("keep the node's name"):
                files.replace(self.paths.identity, made.encode(), 0o644)
        return made

    @cached_property
    def location(self) -> Location:
        location = location_of_environment(self.environment)
        if location is None:
            raise Invalid(
                "no store is named: set DA_AGENT_STORE or give --store, as in file:///srv/cluster or s3://bucket/prefix"
            )
        return location

    # ---- the store

    @cached_property
    def store(self) -> ports.Store:
        return open_store(self.location, credentials_of(self.environment))

    @cached_property
    def reader(self) -> Reader:
        from da_agent.workflows.records.readers import Reader

        return Reader(self.store)

    @cached_property
    def race(self) -> ports.Race:
        from da_agent.adapters.races import run_together

        return run_together

    @property
    def _conformance_folder(self) -> Path:
        return self.paths.conformances if self.is_node else self.scratch / "conformance"

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

    def _live(self) -> int | None:
        """The live release of the node on this machine; None on other machines or with another store."""
        from da_agent.adapters.node_states import NodeStateFile

        node_state = None
        if self.is_node and not self._names_another:
            # For a user who may not read the node state, the reports suffice.
            with suppress(AgentError):
                node_state = NodeStateFile(self.paths.node_state).load()
        return None if node_state is None else node_state.live

    def require_fit(self) -> None:
        """Raise unless the store is fit for a cluster. The store is tested at first contact."""
        from da_agent.workflows.upkeep.conformance import require_fit

        require_fit(self.store, self.race, self.conformances, secrets.token_hex(8))

    @cached_property
    def scratch(self) -> Path:
        """The folder for unfinished files: the node's own, or a cache in the admin's home."""
        if self.is_node and os.access(self.paths.agent, os.W_OK):
            with files.on_this_node(f"make {self.paths.scratch}"):
                self.paths.scratch.mkdir(exist_ok=True)
            from da_agent.adapters.scratches import Scratch

            self._used = Scratch(self.paths.scratch)
            self._used.use()
            return self.paths.scratch
        cache = Path(self.environment.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "da-agent"
        if os.geteuid() == 0:
            # The build user cannot enter root's home.
            cache = Path("/var/cache/da-agent")
        with files.on_this_node(f"make {cache}"):
            cache.mkdir(parents=True, exist_ok=True, mode=0o755)
        return cache

    @cached_property
    def rollouts(self) -> Rollouts:
        from da_agent.workflows.records.rollouts import Rollouts

        return Rollouts(self.store, self.reader, nonce=_nonce, pause=_leave_to_others)

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
    def gc_lock(self) -> GcLock:
        from da_agent.workflows.upkeep.gc_lock import GcLock

        return GcLock(self.store, self.reader, self.clock)

    def lease(self, holder: str, key: str = keys.PUBLISHING) -> Leases:
        """A new participant in the lease `key`, with its own nonce. Callers do not share one."""
        from da_agent.workflows.records.leases import Leases

        return Leases(self.store, self.reader, holder=holder, nonce=_nonce(), key=key)

    def cluster(self) -> There:
        """The state of the cluster, read from the store now."""
        from da_agent.workflows.admin import statuses

        return statuses.cluster(self.store, self.ledger, self.inboxes, self.rollouts, self.reports)

    def collect(self, *, dry_run: bool, tell: Callable[[Collected], object]) -> Collected:
        """Remove unused objects from the store. `tell` gets what was removed, also when an error ends the run."""
        from da_agent.workflows.upkeep import garbage

        survey = garbage.Survey(self.store, self.ledger, self.inboxes, self.rollouts, self.reports)
        return garbage.collect(
            survey, self.gc_lock, self.clock, dry_run=dry_run, who=_person(), nonce=_nonce(), tell=tell
        )

    # ---- terminal and clock

    @cached_property
    def progress(self) -> Watched:
        from da_agent.adapters.progress import Lines, Watched

        if sys.stderr.isatty():
            from da_agent.adapters.progress.bars import Bars

            return Watched(Bars())
        return Watched(Lines(sys.stderr))

    @property
    def board(self) -> ports.Board:
        if sys.stdout.isatty():
            from da_agent.adapters.boards.live import LiveBoard

            return LiveBoard()
        from da_agent.adapters.boards import LinedBoard

        return LinedBoard(sys.stdout)

    @cached_property
    def clock(self) -> ports.Clock:
        from da_agent.adapters.clocks import SystemClock

        return SystemClock()

    # ---- releases

    @cached_property
    def blobs(self) -> ports.Blobs:
        from da_agent.adapters.blob_files import BlobFiles

        return BlobFiles(self.paths if self.is_node else Paths(self.scratch))

    @cached_property
    def transfers(self) -> ports.Transfers:
        from da_agent.adapters.transfers import ParallelTransfers

        return ParallelTransfers(self.store, self.blobs, self.progress)

    @cached_property
    def resolver(self) -> ports.Resolver:
        from da_agent.adapters.packaging import UvResolver

        # Not in the node's scratch folder: the cache must outlive a sweep. `blobs` has wheels that other nodes built.
        cache = self.paths.agent / "resolver" if self.is_node else self.scratch / "resolver"
        return UvResolver(self.node.python, self.scratch, cache, self.node.web_user, self.progress, blobs=self.blobs)

    @cached_property
    def drafts(self) -> Drafts:
        from da_agent.adapters.ca_bundle import trusted_subjects
        from da_agent.adapters.snapshots import SnapshotFolders
        from da_agent.workflows.publish.drafts import Drafts

        return Drafts(
            snapshots=SnapshotFolders(self.store, self.scratch),
            resolver=self.resolver,
            progress=self.progress,
            now=self.store.clock,
            trusted=trusted_subjects,
            admit=self._admit_target,
            home=self.location,
        )

    def _admit_target(self, target: Target) -> None:
        """Raise NotHere when this machine is no node and `target` is the Python of none of the known nodes.

        Without a known node every target is accepted. What a node resolves fits the node itself.
        """
        nodes = {each.report.python for each in self.reports.known()}
        if not self.is_node and nodes and str(target) not in nodes:
            raise NotHere(
                f"cannot resolve packages here: it is {target} here, and the nodes have {', '.join(sorted(nodes))}"
            )

    @cached_property
    def publisher(self) -> Publisher:
        from da_agent.workflows.publish.publisher import Publisher

        return Publisher(
            self.store,
            self.ledger,
            self.inboxes,
            self.transfers,
            self.drafts,
            clock=self.clock,
            notifications=self.notifications,
            gc_lock=self.gc_lock,
            rollouts=self.rollouts,
            who=self.name,
            nonce=_nonce,
        )

    @cached_property
    def pushes(self) -> Pushes:
        from da_agent.workflows.publish.pushes import Pushes

        # A holder of its own: the node's loop on the same machine must also wait for a push.
        lease = self.lease(f"{self.name}, pushing")
        return Pushes(self.store, self.ledger, self.inboxes, drafts=self.drafts, publisher=self.publisher, leases=lease)

    @cached_property
    def plans(self) -> Plans:
        from da_agent.workflows.publish.plans import Plans

        return Plans(self.store, self.ledger, self.inboxes, self.drafts, self.rollouts)

    @cached_property
    def steering(self) -> Steering:
        from da_agent.workflows.admin.steerings import Steering

        return Steering(
            self.store,
            self.ledger,
            self.rollouts,
            self.notifications,
            gc_lock=self.gc_lock,
            transfers=self.transfers,
            who=_person(),
            nonce=_nonce,
        )

    @cached_property
    def departures(self) -> Departures:
        from da_agent.workflows.records.departures import Departures

        return Departures(self.store, self.ledger, self.rollouts, self.reports)

    def forget(self, node: str) -> str:
        """Remove `node`, which will not return, from the cluster; returns one sentence that confirms it."""
        self.departures.forget(node)
        self.notifications.wake(self.notifications.alive())
        return f"Node {node} is forgotten: status shows it no more, and it holds no slot."

    # ---- notifications

    @cached_property
    def notifications(self) -> Notifications:
        from da_agent.adapters.notifications import XmlRpcNotifier
        from da_agent.workflows.records.notifications import Notifications

        return Notifications(self.store, self.reports, XmlRpcNotifier(), self.rpc_credentials, self.clock)

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


def _nonce() -> str:
    return secrets.token_hex(16)


def _leave_to_others(losses: int) -> None:
    """Pause after `losses` lost write races. It does not use the clock, whose waits a notification cuts short."""
    from da_agent.domain.rollout import slots

    time.sleep(slots.pause_after(losses, random.random()).total_seconds())  # noqa: S311


def _person() -> str:
    """The current user, as user@machine."""
    import getpass

    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        # A container may run as a user id without a name.
        user = str(os.geteuid())
    return f"{user}@{socket.gethostname()}"


def open_store(location: Location, credentials: tuple[str, str] | None) -> ports.Store:
    if isinstance(location, DirectoryLocation):
        from da_agent.adapters.directory_store import DirectoryStore

        return DirectoryStore(location.path)
    from da_agent.adapters.s3_store import S3Store

    return S3Store(location, credentials)
