"""What an admin's commands work with: publishing, rollouts, and the removal of what is unused."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from da_agent.domain.node.paths import Paths
from da_agent.errors import Corrupt, Invalid, NotHere, StoreDamaged
from da_agent.wiring.cluster_records import ClusterRecords
from da_agent.wiring.hosts import new_nonce, person

if TYPE_CHECKING:
    from da_agent import ports
    from da_agent.adapters.packaging import UvEnvironments
    from da_agent.domain.config.settings import Settings
    from da_agent.domain.packages.wheels import Target
    from da_agent.domain.release.releases import Contents
    from da_agent.workflows.admin.statuses import There
    from da_agent.workflows.admin.steerings import Steering
    from da_agent.workflows.publish.drafts import Drafts
    from da_agent.workflows.publish.plans import Plans
    from da_agent.workflows.publish.publisher import Publisher
    from da_agent.workflows.publish.pushes import Pushes
    from da_agent.workflows.upkeep.garbage import Collected


class Admin(ClusterRecords):
    """The ways to publish to the store and to steer the cluster. A node has them, too."""

    @cached_property
    def blobs(self) -> ports.Blobs:
        from da_agent.adapters.blob_files import BlobFiles

        return BlobFiles(self._kept)

    @cached_property
    def _kept(self) -> Paths:
        """Where blobs and unpacked wheels are kept: on a node its own folders, unless this user may not write there."""
        return self.paths if self.is_own_node else Paths(self.scratch)

    @cached_property
    def environments(self) -> UvEnvironments:
        from da_agent.adapters.packaging import UvEnvironments

        return UvEnvironments(self.node.python, self.blobs, self._kept)

    @cached_property
    def transfers(self) -> ports.Transfers:
        from da_agent.adapters.transfers import ParallelTransfers

        return ParallelTransfers(self.store, self.blobs, self.progress)

    @cached_property
    def resolver(self) -> ports.Resolver:
        from da_agent.adapters.packaging import Assembly, UvResolver

        # Not in the node's scratch folder: the cache must outlive a sweep. `blobs` has wheels that other nodes built.
        cache = self.paths.agent / "resolver" if self.is_node else self.scratch / "resolver"
        return UvResolver(
            self.node.python,
            self.scratch,
            cache,
            self.node.build_user,
            self.progress,
            web_user=self.node.web_user,
            blobs=self.blobs,
            assembly=Assembly(self.environments, self.blobs, self.transfers.fetch),
        )

    @cached_property
    def drafts(self) -> Drafts:
        from da_agent import handshakes
        from da_agent.adapters.ca_bundle import trusted_roots
        from da_agent.adapters.snapshots import SnapshotFolders
        from da_agent.workflows.publish.drafts import Drafts

        return Drafts(
            snapshots=SnapshotFolders(self.store, self.scratch),
            resolver=self.resolver,
            progress=self.progress,
            now=self.store.clock,
            trusted=trusted_roots,
            handshake=handshakes.rehearse,
            admit=self._admit_target,
            home=self.location,
            settings=self._settings_of,
        )

    def _settings_of(self, contents: Contents) -> Settings:
        """The settings in the configuration of a release; the defaults when it cannot be read."""
        from da_agent.domain.config import configurations
        from da_agent.domain.config.settings import Settings

        try:
            return configurations.parse(self.reader.blob(contents.config, None)).settings
        except (Invalid, StoreDamaged, Corrupt):
            return Settings()

    def _admit_target(self, target: Target) -> None:
        """Raise NotHere when this machine is no node and `target` is the Python of none of the known nodes.

        Without a known node every target is accepted. What a node resolves fits the node itself.
        """
        nodes = {each.report.python for each in self.reports.known()}
        if not self.is_node and nodes and str(target) not in nodes:
            raise NotHere(
                f"cannot resolve packages here: this machine has {target}, and the nodes have"
                f" {', '.join(sorted(nodes))}"
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
            nonce=new_nonce,
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
            who=person(),
            nonce=new_nonce,
        )

    def forget(self, node: str) -> str:
        """Remove `node`, which will not return, from the cluster; returns one sentence that confirms it."""
        self.departures.forget(node)
        self.notifications.wake(self.notifications.alive())
        return f"Node {node} is removed: it holds no slot, and da-agent status no longer shows it."

    def cluster(self) -> There:
        """The state of the cluster, read from the store now."""
        from da_agent.workflows.admin import statuses

        return statuses.cluster(self.store, self.ledger, self.inboxes, self.rollouts, self.reports)

    def collect(self, *, dry_run: bool, tell: Callable[[Collected], object]) -> Collected:
        """Remove unused objects from the store. `tell` gets what was removed, also when an error ends the run."""
        from da_agent.workflows.upkeep import garbage

        survey = garbage.Survey(self.store, self.ledger, self.inboxes, self.rollouts, self.reports)
        return garbage.collect(
            survey, self.gc_lock, self.clock, dry_run=dry_run, who=person(), nonce=new_nonce(), tell=tell
        )
