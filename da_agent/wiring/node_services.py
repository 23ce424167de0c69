"""What belongs to this node alone: its installation, web server, supervisord and certificates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from da_agent import files
from da_agent.domain.node.paths import Staged
from da_agent.domain.store.locations import Location
from da_agent.errors import AgentError
from da_agent.wiring.admin import Admin
from da_agent.wiring.cluster_records import open_store

if TYPE_CHECKING:
    from da_agent import ports
    from da_agent.adapters.apache import Apache
    from da_agent.adapters.last_contact import LastContactFile
    from da_agent.domain.config.settings import Settings
    from da_agent.domain.release.releases import Release
    from da_agent.workflows.node.certificates import Certificates, Opened
    from da_agent.workflows.upkeep.garbage import Freed

P = ParamSpec("P")
R = TypeVar("R")


class NodeServices(Admin):
    """The files and services of this node, each built on first use."""

    @cached_property
    def lock(self) -> ports.Lock:
        from da_agent.adapters.locks import FileLock

        return FileLock(self.paths.lock)

    @cached_property
    def node_states(self) -> ports.NodeStates:
        from da_agent.adapters.node_states import NodeStateFile

        return NodeStateFile(self.paths.node_state)

    @cached_property
    def last_contact(self) -> LastContactFile:
        from da_agent.adapters.last_contact import LastContactFile

        return LastContactFile(self.paths.last_contact)

    @cached_property
    def supervisor(self) -> ports.Supervisor:
        from da_agent.adapters.supervisors import Supervisord

        return Supervisord(self.paths.run / "supervisor.sock")

    @cached_property
    def web(self) -> Apache:
        from da_agent.adapters.apache import Apache

        return Apache(self.node, self.paths, self.supervisor)

    @cached_property
    def commands(self) -> ports.Commands:
        from da_agent.adapters.apache import ShellCommands

        return ShellCommands(self.node, self.paths)

    @cached_property
    def installation(self) -> ports.Installation:
        from da_agent.adapters.disk_space import DiskSpace
        from da_agent.adapters.release_folders import ReleaseFolders

        return ReleaseFolders(
            self.paths,
            self.blobs,
            # A command that only reads the live release needs neither of the two.
            build=later(lambda: self.environments.build),
            render=later(lambda: self.web.render),
            require_room=DiskSpace(self.paths, self.blobs, _unpacked).require,
            group=self.web_group,
        )

    @cached_property
    def certificates(self) -> Certificates:
        from da_agent import handshakes
        from da_agent.adapters.ca_bundle import trusted_roots
        from da_agent.adapters.certificate_folders import LinkedFolders
        from da_agent.domain.node.certificate_places import AllowedFolders
        from da_agent.workflows.node.certificates import Certificates

        allowed = AllowedFolders(self.paths, self.node.certificate_folders)
        return Certificates(
            node=self.node,
            allowed=allowed,
            installation=self.installation,
            folders=LinkedFolders(allowed),
            running=self.web.running,
            reread=self.web.read_certificates,
            progress=self.progress,
            now=self.clock.now,
            trusted=trusted_roots,
            handshake=handshakes.rehearse,
            read=_read,
            store=_opened,
        )

    def settings(self, release: Release) -> Settings:
        """The settings in the release's configuration; the defaults when this node does not have its blob."""
        from da_agent.domain.config import configurations
        from da_agent.domain.config.settings import Settings

        for path in (Staged(self.paths.release(release.number)).config, self.blobs.path(release.contents.config)):
            try:
                return configurations.parse(path.read_bytes()).settings
            except (OSError, AgentError):
                continue
        return Settings()

    def live_settings(self) -> Settings:
        from da_agent.domain.config import configurations
        from da_agent.domain.config.settings import Settings

        try:
            return configurations.parse(Staged(self.paths.current).config.read_bytes()).settings
        except (OSError, AgentError):
            return Settings()

    def sweep(self) -> None:
        """Remove files that killed processes left; does nothing while another process uses the scratch folder."""
        from da_agent.adapters.scratches import Scratch

        Scratch(self.paths.scratch).sweep(self.paths.root, self.paths.agent, self.paths.wsgi.parent)

    def clear(self, *, dry_run: bool) -> Freed:
        """Remove files that this node no longer needs from its disk; with `dry_run` only list them."""
        from da_agent.domain.node.node_states import NodeState
        from da_agent.workflows.upkeep import garbage

        # The loop holds the lock briefly during each poll.
        with self.lock.hold(timedelta(minutes=1)):
            node_state = self.node_states.load() or NodeState(live=self.installation.current())
            return garbage.clear(
                self.installation,
                self.blobs,
                self.environments,
                node_state,
                now=self.clock.now(),
                dry_run=dry_run,
            )


def _opened(location: Location, credentials: tuple[str, str] | None) -> Opened:
    """Open any store, not only this node's own."""
    from da_agent.workflows.node.certificates import Opened
    from da_agent.workflows.records.ledgers import Ledger
    from da_agent.workflows.records.readers import Reader

    store = open_store(location, credentials)
    reader = Reader(store)
    return Opened(store, reader, Ledger(store, reader))


def _unpacked(wheels: Sequence[Path]) -> Sequence[list[int] | str]:
    from da_agent.adapters import packaging

    return packaging.unpacked(wheels)


def later(find: Callable[[], Callable[P, R]]) -> Callable[P, R]:
    """A function that calls the result of `find`; the objects behind it are built only at that call."""

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return find()(*args, **kwargs)

    return call


def _read(path: Path) -> bytes | None:
    """The content of a file on this node; None when there is none."""
    with files.on_this_node(f"read {path}"):
        return path.read_bytes() if path.exists() else None
