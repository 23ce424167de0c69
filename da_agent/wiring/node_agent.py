"""The objects of this node, each built on first use, and the operations of supervisor's programs on them.

Each module is imported where its object is built. A command that needs no S3 does not load boto3, and `--help` loads
nothing.
"""

from __future__ import annotations

import grp
import os
import random
import secrets
import socket
import sys
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from da_agent import __version__, files
from da_agent.domain.node.paths import Staged
from da_agent.domain.store import keys
from da_agent.domain.store.locations import DirectoryLocation, Location
from da_agent.errors import AgentError
from da_agent.wiring.admin import Admin, open_store

if TYPE_CHECKING:
    from da_agent import ports
    from da_agent.adapters.apache import Apache
    from da_agent.adapters.last_contact import LastContactFile
    from da_agent.domain.config.settings import Settings
    from da_agent.domain.node.reports import Report
    from da_agent.domain.release.releases import Release
    from da_agent.domain.rollout.rollouts import Rollout
    from da_agent.workflows.node import converger
    from da_agent.workflows.node.certificates import Certificates, Opened
    from da_agent.workflows.node.leaving import Leaving
    from da_agent.workflows.node.reconciler import Reconciler
    from da_agent.workflows.node.rollout_client import RolloutClient
    from da_agent.workflows.node.switcher import Switcher
    from da_agent.workflows.publish.inbox_leader import InboxLeader
    from da_agent.workflows.upkeep.garbage import Freed

P = ParamSpec("P")
R = TypeVar("R")

AT_ONCE = timedelta(seconds=3)
"""How long this node waits for the store while users wait for the node."""

SIGNING_OFF = timedelta(seconds=8)
"""How long this node waits for the store when it signs off."""


class NodeAgent(Admin):
    """This node and the operations of supervisor's programs."""

    def __init__(self, environment: Mapping[str, str] | None = None, store: str | None = None) -> None:
        super().__init__(environment, store)
        self._parent = os.getppid()

    # ---- objects

    @cached_property
    def deadline(self) -> ports.Deadline:
        from da_agent.adapters.deadlines import within

        return within(AT_ONCE)

    @cached_property
    def lock(self) -> ports.Lock:
        from da_agent.adapters.locks import FileLock

        return FileLock(self.paths.lock)

    @cached_property
    def last_contact(self) -> LastContactFile:
        from da_agent.adapters.last_contact import LastContactFile

        return LastContactFile(self.paths.heard)

    @cached_property
    def node_states(self) -> ports.NodeStates:
        from da_agent.adapters.node_states import NodeStateFile

        return NodeStateFile(self.paths.node_state)

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

        user = self.node.web_user
        return ReleaseFolders(
            self.paths,
            self.blobs,
            # A command that only reads the live release needs neither of the two.
            build=_later(lambda: self.environments.build),
            render=_later(lambda: self.web.render),
            room=DiskSpace(self.paths, self.blobs).require,
            group=None if user is None else grp.getgrnam(user).gr_gid,
        )

    @cached_property
    def environments(self) -> ports.Environments:
        from da_agent.adapters.packaging import UvEnvironments

        return UvEnvironments(self.node.python, self.blobs, self.paths)

    @cached_property
    def certificates(self) -> Certificates:
        from da_agent.adapters.ca_bundle import trusted_subjects
        from da_agent.adapters.certificate_folders import LinkedFolders
        from da_agent.workflows.node.certificates import Certificates

        return Certificates(
            node=self.node,
            paths=self.paths,
            installation=self.installation,
            folders=LinkedFolders(self.paths),
            running=self.web.running,
            reread=self.web.read_certificates,
            progress=self.progress,
            now=self.clock.now,
            trusted=trusted_subjects,
            read=_read,
            store=_opened,
        )

    @cached_property
    def inbox_leader(self) -> InboxLeader:
        from da_agent.domain.config import first_configurations
        from da_agent.workflows.publish.inbox_leader import InboxLeader

        return InboxLeader(
            store=self.store,
            ledger=self.ledger,
            inboxes=self.inboxes,
            # Built on demand: resolving packages and reading certificates takes memory, and most nodes never do it.
            publish=_later(lambda: self.publisher.publish),
            publishing=self.lease(self.name),
            watching=self.lease(self.name, keys.INBOX_LEADER),
            clock=self.clock,
            progress=self.progress,
            render=lambda: first_configurations.render(self.environment, secrets.token_urlsafe(32)),
        )

    @cached_property
    def switcher(self) -> Switcher:
        from da_agent.workflows.node.checkups import Checkup
        from da_agent.workflows.node.switcher import Switcher

        return Switcher(
            installation=self.installation,
            node_states=self.node_states,
            web=self.web,
            workers=self.web,
            checkup=Checkup(self.web, self.commands, self.supervisor, self.clock),
            clock=self.clock,
            progress=self.progress,
            settings=self.settings,
            place=self.certificates.follow,
            revive=self.supervisor.revive,
            verdict=self._verdict,
        )

    def _verdict(self, number: int) -> Rollout | None:
        rollouts = self.rollouts
        return self.deadline(lambda: rollouts.read(number))

    @cached_property
    def rollout_client(self) -> RolloutClient:
        from da_agent.workflows.node.rollout_client import RolloutClient

        return RolloutClient(
            self.store, self.rollouts, self.clock, self.name, deadline=self.deadline, notify=self.notifications.notify
        )

    @cached_property
    def converging(self) -> converger.Converger:
        from da_agent.workflows.node import converger

        return converger.Converger(
            installation=self.installation,
            node_states=self.node_states,
            transfers=self.transfers,
            web=self.web,
            workers=self.web,
            traffic=self.web,
            commands=self.commands,
            switcher=self.switcher,
            rollout_client=self.rollout_client,
            clock=self.clock,
            progress=self.progress,
            settings=self.settings,
        )

    @cached_property
    def reconciler(self) -> Reconciler:
        from da_agent.workflows.node.reconciler import Reconciler

        return Reconciler(
            store=self.store,
            ledger=self.ledger,
            admit=self.require_fit,
            inbox_leader=self.inbox_leader,
            node=self.converging,
            rollout_client=self.rollout_client,
            lock=self.lock,
            heard=self.last_contact.heard,
            last_contact=self.last_contact.last,
            clock=self.clock,
            deadline=self.deadline,
            progress=self.progress,
            report=self.report(),
            settings=self.live_settings,
            chance=random.random,
            activity=self.progress.now,
        )

    @cached_property
    def leaving(self) -> Leaving:
        from da_agent.workflows.node.leaving import Leaving

        return Leaving(
            traffic=self.web,
            supervisor=self.supervisor,
            clock=self.clock,
            progress=self.progress,
            settings=self.live_settings,
            sign_off=self._sign_off,
        )

    def _sign_off(self) -> None:
        """Sign off within SIGNING_OFF: supervisord waits for this, and the store may be unreachable."""
        from da_agent.adapters.deadlines import within

        # Built in this thread: the other thread may only call the store.
        departures, name = self.departures, self.name
        within(SIGNING_OFF)(lambda: departures.sign_off(name))

    def report(self) -> Report:
        from da_agent.adapters.identities import identity
        from da_agent.domain.node.reports import Phase, Report

        address = f"{self.node.address}:{self.node.http_port}"
        return Report(
            node=self.name,
            host=socket.gethostname(),
            address=address,
            release=None,
            target=None,
            phase=Phase.STARTING,
            problem=None,
            agent=__version__,
            python=str(self.resolver.target),
            started_at=self.clock.now(),
            rpc=self._rpc(),
            identity=identity(self.paths.root, address),
        )

    # ---- settings

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

    # ---- operations

    def prepare(self) -> None:
        """Make the node's own folders where they are missing."""
        with files.on_this_node(f"make the folders of this node below {self.paths.root}"):
            for folder in (self.paths.scratch, self.paths.run, self.paths.logs, self.paths.releases):
                folder.mkdir(parents=True, exist_ok=True, mode=0o755)

    def end_predecessors(self) -> None:
        """End programs that an earlier supervisord left running: they would continue to work on this node for a while.

        Apache is not among them: a left-over Apache serves until its successor starts.
        """
        from da_agent.adapters import predecessors

        ended = predecessors.end(self.paths.root, self.supervisor)
        if ended:
            self.progress.say(f"Ended what an earlier supervisord had left running: {', '.join(ended)}")

    def intact(self) -> bool:
        """True while the socket and the log folder of supervisord exist. A running agent does not make them again."""
        return (self.paths.run / "supervisor.sock").exists() and self.paths.logs.is_dir()

    def begin_anew(self) -> None:
        """Restart supervisord: it rereads its files, makes its sockets again and starts `initialize`."""
        from da_agent.adapters.supervisors import restart_parent

        self.prepare()
        restart_parent(self._parent)

    def open_rpc_port(self) -> bool:
        """Make supervisord accept notifications as the environment says.

        Returns True when supervisord restarts for this, which ends the current program. An AgentError is only said: the
        node works without notifications, because it polls.
        """
        from da_agent.adapters.rpc_ports import RpcPortFile
        from da_agent.domain.node import rpc_ports

        node = self.node
        try:
            section = rpc_ports.section(node, None if node.rpc_port is None else self.rpc_credentials())
            if not RpcPortFile(self.paths.rpc_port).put(section, node.rpc_address, node.rpc_port):
                return False
            self.begin_anew()
        except AgentError as error:
            self.progress.say(f"Notifications do not reach this node, which polls: {error}")
            return False
        self.progress.say("supervisord starts anew, to open or close the port for notifies")
        return True

    def _rpc(self) -> str | None:
        """The "address:port" at which others notify this node; None when its supervisord does not listen."""
        from da_agent.adapters.rpc_ports import seen_from_outside

        if self.node.rpc_port is None or not self.paths.rpc_port.exists():
            return None
        return f"{seen_from_outside(self.node.rpc_address)}:{self.node.rpc_port}"

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

    def listen(self, stack: ExitStack, notifications: Collection[str]) -> None:
        """Act as an event listener of supervisor on stdin and stdout until `stack` closes.

        Events in `notifications` wake the clock.
        """
        from da_agent.adapters.listeners import listen

        stack.enter_context(
            listen(
                sys.stdin,
                sys.stdout,
                wake=lambda event: self.clock.wake() if event in notifications else None,
                stop=self.clock.stop,
            )
        )

    def watch(self, stack: ExitStack) -> None:
        """Wake the clock on changes of inbox and ledger until `stack` closes; does nothing for a bucket."""
        if isinstance(self.location, DirectoryLocation):
            from da_agent.adapters.watches import watch

            stack.enter_context(watch(self.location.path, self.clock.wake, polling=None))

    def beat(self, stack: ExitStack) -> None:
        """Report on time until `stack` closes, even while the loop is busy."""
        from da_agent.adapters.heartbeats import beating
        from da_agent.workflows.node.reconciler import HEARTBEAT

        stack.enter_context(beating(self.reconciler.beat, HEARTBEAT / 6))


def _opened(location: Location, credentials: tuple[str, str] | None) -> Opened:
    """Open any store, not only this node's own."""
    from da_agent.workflows.node.certificates import Opened
    from da_agent.workflows.records.ledgers import Ledger
    from da_agent.workflows.records.readers import Reader

    store = open_store(location, credentials)
    reader = Reader(store)
    return Opened(store, reader, Ledger(store, reader))


def _later(find: Callable[[], Callable[P, R]]) -> Callable[P, R]:
    """A function that calls the result of `find`; the objects behind it are built only at that call."""

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return find()(*args, **kwargs)

    return call


def _read(path: Path) -> bytes | None:
    """The content of a file on this node; None when there is none."""
    with files.on_this_node(f"read {path}"):
        return path.read_bytes() if path.exists() else None
