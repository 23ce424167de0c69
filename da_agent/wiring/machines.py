"""This machine, as its environment describes it: each piece is built when it is first asked for.

It is imported where it is built, too: a command that needs no S3 does not wait for boto3, and one that only asks for
help waits for nothing at all.
"""

from __future__ import annotations

import grp
import os
import random
import secrets
import socket
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from da_agent import __version__, files
from da_agent.domain import keys, variables
from da_agent.domain.locations import DirectoryLocation, Location, credentials_of, location_of_environment
from da_agent.domain.paths import Paths, Staged
from da_agent.errors import AgentError, NotHere, Refused

if TYPE_CHECKING:
    from da_agent import ports
    from da_agent.adapters.progress import Watched
    from da_agent.domain.inboxes import Verdict
    from da_agent.domain.nodes import Node
    from da_agent.domain.releases import Release, Target, Wheel
    from da_agent.domain.reports import Report
    from da_agent.domain.rollouts import Rollout
    from da_agent.domain.rpc_ports import Credentials
    from da_agent.domain.settings import Settings
    from da_agent.workflows import converges
    from da_agent.workflows.adoptions import Adoption
    from da_agent.workflows.certificates import Certificates
    from da_agent.workflows.courses import Course
    from da_agent.workflows.drafts import Drafts
    from da_agent.workflows.follows import Follower
    from da_agent.workflows.garbage import Collected, Freed
    from da_agent.workflows.lookouts import Lookout
    from da_agent.workflows.plans import Plans
    from da_agent.workflows.pushes import Pushes
    from da_agent.workflows.rollouts import Rollouts
    from da_agent.workflows.steerings import Steering
    from da_agent.workflows.trials import Trials
    from da_agent.workflows.wakings import Waking

AT_ONCE = timedelta(seconds=3)
"""How long the store is waited for where people wait for this node."""


class Machine:
    """A node, or the machine of an admin who has only the store's address."""

    def __init__(self, environment: Mapping[str, str] | None = None, store: str | None = None) -> None:
        """`store` is a URL that is used instead of the environment's."""
        self.environment = dict(os.environ if environment is None else environment)
        if store:
            self.environment["DA_AGENT_STORE"] = store

    # ---- who and where

    @cached_property
    def node(self) -> Node:
        return variables.parse_node(self.environment, root=os.geteuid() == 0)

    @cached_property
    def paths(self) -> Paths:
        return Paths(self.node.root)

    @property
    def is_node(self) -> bool:
        """Whether an agent has ever run on this machine, below this root."""
        return self.paths.agent.is_dir()

    @cached_property
    def name(self) -> str:
        """The node's name in the store: given by DA_AGENT_NODE, or made once and kept."""
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
            raise Refused(
                "no store is named: set DA_AGENT_STORE or give --store, as in file:///srv/cluster or s3://bucket/prefix"
            )
        return location

    # ---- the store

    @cached_property
    def store(self) -> ports.Store:
        return open_store(self.location, credentials_of(self.environment))

    @cached_property
    def race(self) -> ports.Race:
        from da_agent.adapters.races import Threads

        return Threads()

    @cached_property
    def haste(self) -> ports.Haste:
        from da_agent.adapters.hastes import Haste

        return Haste(AT_ONCE)

    @cached_property
    def passports(self) -> ports.Passports:
        from da_agent.adapters.passports import PassportFolder

        return PassportFolder(self.paths.passports if self.is_node else self.scratch / "passports")

    def admit(self) -> None:
        """Raise unless the store is fit for a cluster; it is examined at first contact."""
        from da_agent.workflows.passports import require_fit

        require_fit(self.store, self.race, self.passports, secrets.token_hex(8))

    @cached_property
    def scratch(self) -> Path:
        """For unfinished things: the node's own folder, or a cache below the home of an admin."""
        if self.is_node and os.access(self.paths.agent, os.W_OK):
            with files.on_this_node(f"make {self.paths.scratch}"):
                self.paths.scratch.mkdir(exist_ok=True)
            from da_agent.adapters.scratches import Scratch

            self._used = Scratch(self.paths.scratch)
            self._used.use()
            return self.paths.scratch
        cache = Path(self.environment.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "da-agent"
        if os.geteuid() == 0:
            # Packages are built by another user, who has no way into the home of root.
            cache = Path("/var/cache/da-agent")
        with files.on_this_node(f"make {cache}"):
            cache.mkdir(parents=True, exist_ok=True, mode=0o755)
        return cache

    # ---- pieces

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

        # The cache outlives what is unfinished; wheels that another node has built come from the blobs.
        cache = self.paths.agent / "resolver" if self.is_node else self.scratch / "resolver"
        return UvResolver(self.node.python, self.scratch, cache, self.node.web_user, self.progress, blobs=self.blobs)

    @cached_property
    def drafts(self) -> Drafts:
        from da_agent.adapters.snapshots import SnapshotFolders
        from da_agent.adapters.trusts import trusted_subjects
        from da_agent.workflows.drafts import Drafts

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
        """What a node resolves fits itself; another machine must be like one of the nodes."""
        from da_agent.workflows import reports

        nodes = {each.report.python for each in reports.sightings(self.store)}
        if not self.is_node and nodes and str(target) not in nodes:
            raise NotHere(
                f"cannot resolve packages here: it is {target} here, and the nodes have {', '.join(sorted(nodes))}"
            )

    @cached_property
    def adoption(self) -> Adoption:
        from da_agent.workflows.adoptions import Adoption

        return Adoption(
            self.store,
            self.transfers,
            self.drafts,
            self.clock,
            self.waking,
            rollouts=self.rollouts,
            who=self.name,
            nonce=lambda: secrets.token_hex(16),
        )

    @cached_property
    def lookout(self) -> Lookout:
        from da_agent.domain import first_configurations
        from da_agent.workflows.leases import Leases
        from da_agent.workflows.lookouts import Lookout

        return Lookout(
            store=self.store,
            adopt=self._adopt,
            adopting=Leases(self.store, holder=self.name, nonce=secrets.token_hex(16)),
            watching=Leases(self.store, holder=self.name, nonce=secrets.token_hex(16), key=keys.LOOKOUT),
            clock=self.clock,
            progress=self.progress,
            render=lambda: first_configurations.render(self.environment, secrets.token_urlsafe(32)),
        )

    @cached_property
    def waking(self) -> Waking:
        from da_agent.adapters.pokes import XmlRpcPokes
        from da_agent.workflows.wakings import Waking

        return Waking(self.store, XmlRpcPokes(), self.rpc_credentials, self.clock)

    def rpc_credentials(self) -> Credentials | None:
        """The environment's, or else those of the configuration that the nodes have now."""
        from da_agent.domain import configurations, rpc_ports

        found = rpc_ports.given(self.environment)
        if found is not None:
            return found
        data = self._configuration()
        return None if data is None else rpc_ports.configured(configurations.parse(data))

    def _configuration(self) -> bytes | None:
        """The one that this node serves; elsewhere the newest release's, None before there is one."""
        from da_agent.workflows.ledgers import Ledger

        try:
            return Staged(self.paths.current).config.read_bytes()
        except OSError:
            contents = Ledger(self.store).top().contents
            return None if contents is None else self.store.read(keys.blob_key(contents.config)).data

    @cached_property
    def pushes(self) -> Pushes:
        from da_agent.workflows.leases import Leases
        from da_agent.workflows.pushes import Pushes

        # Not the node's own lease: its loop waits for a push on the same machine, too.
        leases = Leases(self.store, holder=f"{self.name}, pushing", nonce=secrets.token_hex(16))
        return Pushes(self.store, self.drafts, self.adoption, leases)

    @cached_property
    def plans(self) -> Plans:
        from da_agent.workflows.plans import Plans

        return Plans(self.store, self.drafts, self.rollouts)

    @cached_property
    def supervisor(self) -> ports.Supervisor:
        from da_agent.adapters.supervisors import Supervisord

        return Supervisord(self.paths.run / "supervisor.sock")

    @cached_property
    def web(self) -> ports.WebServer:
        from da_agent.adapters.apache import Apache

        return Apache(self.node, self.paths, self.supervisor)

    @cached_property
    def lock(self) -> ports.Lock:
        from da_agent.adapters.locks import FileLock

        return FileLock(self.paths.lock)

    @cached_property
    def contact(self) -> ports.Contact:
        from da_agent.adapters.contacts import ContactFile

        return ContactFile(self.paths.heard)

    @cached_property
    def journals(self) -> ports.Journals:
        from da_agent.adapters.journals import JournalFile

        return JournalFile(self.paths.journal)

    @cached_property
    def installation(self) -> ports.Installation:
        from da_agent.adapters.release_folders import ReleaseFolders
        from da_agent.adapters.rooms import Room

        user = self.node.web_user
        return ReleaseFolders(
            self.paths,
            self.blobs,
            _Environments(self),
            render=self._render,
            room=Room(self.paths, self.blobs).require,
            group=None if user is None else grp.getgrnam(user).gr_gid,
        )

    def _adopt(self, reason: str) -> Verdict:
        """What resolves packages and reads certificates takes memory, and most nodes never need it."""
        return self.adoption.adopt(reason)

    def _render(self, release: Release, settings: Settings, into: Path) -> None:
        """Whoever only asks which release is live needs no web server."""
        self.web.render(release, settings, into)

    @cached_property
    def certificates(self) -> Certificates:
        from da_agent.adapters.certificate_folders import LinkedFolders
        from da_agent.adapters.trusts import trusted_subjects
        from da_agent.workflows.certificates import Certificates

        return Certificates(
            node=self.node,
            paths=self.paths,
            installation=self.installation,
            folders=LinkedFolders(self.paths),
            web=self.web,
            progress=self.progress,
            now=self.clock.now,
            trusted=trusted_subjects,
            read=_read,
            store=open_store,
        )

    # ---- the node's work

    def prepare(self) -> None:
        """The node's own folders exist."""
        with files.on_this_node(f"make the folders of this node below {self.paths.root}"):
            for folder in (self.paths.scratch, self.paths.run, self.paths.logs, self.paths.releases):
                folder.mkdir(parents=True, exist_ok=True, mode=0o755)

    def intact(self) -> bool:
        """Whether the files are still there that supervisord needs to answer us; the agent itself never makes them."""
        return (self.paths.run / "supervisor.sock").exists() and self.paths.logs.is_dir()

    def begin_anew(self) -> None:
        """supervisord reads and makes its files and sockets again, and starts `initialize`."""
        from da_agent.adapters.supervisors import restart_parent

        self.prepare()
        restart_parent()

    def open_rpc_port(self) -> bool:
        """Make supervisord take pokes as the environment says; True when it starts anew for that, and ends us.

        Whatever goes wrong, the node is as good as before: it polls.
        """
        from da_agent.adapters.rpc_ports import RpcPortFile
        from da_agent.domain import rpc_ports

        node = self.node
        try:
            section = rpc_ports.section(node, None if node.rpc_port is None else self.rpc_credentials())
            if not RpcPortFile(self.paths.rpc_port).put(section, node.rpc_address, node.rpc_port):
                return False
            self.begin_anew()
        except AgentError as error:
            self.progress.say(f"Pokes do not reach this node, which polls: {error}")
            return False
        self.progress.say("supervisord starts anew, to open or close the port for pokes")
        return True

    def _rpc(self) -> str | None:
        """Where others poke this node; None when its supervisord was not told to listen."""
        from da_agent.adapters.rpc_ports import seen_from_outside

        if self.node.rpc_port is None or not self.paths.rpc_port.exists():
            return None
        return f"{seen_from_outside(self.node.rpc_address)}:{self.node.rpc_port}"

    def sweep(self) -> None:
        """Remove what processes that were killed have left; not while another one of this node is at work."""
        from da_agent.adapters.scratches import Scratch

        Scratch(self.paths.scratch).sweep(self.paths.root, self.paths.agent, self.paths.wsgi.parent)

    def collect(self, *, dry_run: bool, tell: Callable[[Collected], object]) -> Collected:
        """Remove what nobody needs from the store; `tell` gets what is gone, also when an error ends it."""
        from da_agent.workflows import garbage

        return garbage.collect(
            self.store, self.clock, dry_run=dry_run, who=_person(), nonce=secrets.token_hex(16), tell=tell
        )

    def clear(self, *, dry_run: bool) -> Freed:
        """Remove what this node does not need from its disk."""
        from da_agent.domain.journals import Journal
        from da_agent.workflows import garbage

        # The loop holds the lock for a moment with each poll.
        with self.lock.hold(timedelta(minutes=1)):
            journal = self.journals.load() or Journal(live=self.installation.current())
            return garbage.clear(
                self.installation,
                self.blobs,
                _Environments(self),
                journal,
                now=self.clock.now(),
                dry_run=dry_run,
            )

    def listen(self, stack: ExitStack, waking: Collection[str]) -> None:
        """Be an event listener of supervisor on stdin and stdout, until the stack is closed."""
        from da_agent.adapters.listeners import listen

        stack.enter_context(
            listen(
                sys.stdin,
                sys.stdout,
                wake=lambda event: self.clock.wake() if event in waking else None,
                stop=self.clock.stop,
            )
        )

    def watch(self, stack: ExitStack) -> None:
        """Wake up for changes of the inbox, where the store can be watched."""
        if isinstance(self.location, DirectoryLocation):
            from da_agent.adapters.watches import watch

            stack.enter_context(watch(self.location.path, self.clock.wake, polling=None))

    def settings(self, release: Release) -> Settings:
        """What the release's own configuration says; the defaults when its blob is not at hand."""
        from da_agent.domain import configurations
        from da_agent.domain.settings import Settings

        for path in (Staged(self.paths.release(release.number)).config, self.blobs.path(release.contents.config)):
            try:
                return configurations.parse(path.read_bytes()).settings
            except (OSError, AgentError):
                continue
        return Settings()

    def live_settings(self) -> Settings:
        from da_agent.domain import configurations
        from da_agent.domain.settings import Settings

        try:
            return configurations.parse(Staged(self.paths.current).config.read_bytes()).settings
        except (OSError, AgentError):
            return Settings()

    @cached_property
    def converging(self) -> converges.Node:
        from da_agent.workflows import converges

        return converges.Node(
            installation=self.installation,
            journals=self.journals,
            transfers=self.transfers,
            web=self.web,
            commands=self.commands,
            trials=self.trials,
            course=self.course,
            clock=self.clock,
            progress=self.progress,
            settings=self.settings,
        )

    @cached_property
    def commands(self) -> ports.Commands:
        from da_agent.adapters.apache import ShellCommands

        return ShellCommands(self.node, self.paths)

    @cached_property
    def trials(self) -> Trials:
        from da_agent.workflows.checkups import Checkup
        from da_agent.workflows.trials import Trials

        return Trials(
            installation=self.installation,
            journals=self.journals,
            web=self.web,
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
        return self.haste.ask(lambda: rollouts.read(number))

    @cached_property
    def rollouts(self) -> Rollouts:
        from da_agent.workflows.rollouts import Rollouts

        return Rollouts(self.store, nonce=lambda: secrets.token_hex(16), pause=_leave_to_others)

    @cached_property
    def steering(self) -> Steering:
        from da_agent.workflows.steerings import Steering

        return Steering(
            self.store,
            self.rollouts,
            self.waking,
            self.clock,
            self.transfers,
            who=_person(),
            nonce=lambda: secrets.token_hex(16),
        )

    @cached_property
    def course(self) -> Course:
        from da_agent.workflows.courses import Course

        return Course(self.store, self.rollouts, self.clock, self.name, self.waking.poke)

    @cached_property
    def follower(self) -> Follower:
        from da_agent.workflows.follows import Follower

        return Follower(
            store=self.store,
            admit=self.admit,
            lookout=self.lookout,
            node=self.converging,
            course=self.course,
            lock=self.lock,
            contact=self.contact,
            clock=self.clock,
            haste=self.haste,
            progress=self.progress,
            report=self.report(),
            settings=self.live_settings,
            chance=random.random,
            doing=self.progress.now,
        )

    def beat(self, stack: ExitStack) -> None:
        """Report in time also while the loop is busy, until the stack is closed."""
        from da_agent.adapters.heartbeats import beating
        from da_agent.workflows.follows import HEARTBEAT

        stack.enter_context(beating(self.follower.beat, HEARTBEAT / 6))

    def report(self) -> Report:
        from da_agent.domain.reports import Phase, Report

        return Report(
            node=self.name,
            host=socket.gethostname(),
            address=f"{self.node.address}:{self.node.http_port}",
            release=None,
            target=None,
            phase=Phase.STARTING,
            problem=None,
            agent=__version__,
            python=str(self.resolver.target),
            started_at=self.clock.now(),
            rpc=self._rpc(),
        )


class _Environments:
    """ports.Environments whose tools are imported when the first release is staged."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def build(self, wheels: Sequence[Wheel], into: Path) -> None:
        self._made().build(wheels, into)

    def forget(self) -> None:
        self._made().forget()

    def _made(self) -> ports.Environments:
        from da_agent.adapters.packaging import UvEnvironments

        return UvEnvironments(self._machine.node.python, self._machine.blobs, self._machine.paths)


def open_store(location: Location, credentials: tuple[str, str] | None) -> ports.Store:
    if isinstance(location, DirectoryLocation):
        from da_agent.adapters.directory_store import DirectoryStore

        return DirectoryStore(location.path)
    from da_agent.adapters.s3_store import S3Store

    return S3Store(location, credentials)


def _leave_to_others(losses: int) -> None:
    """Not on the clock, which a poke cuts short: that one is for the loop."""
    from da_agent.domain import rollouts

    time.sleep(rollouts.pause_after(losses, random.random()).total_seconds())  # noqa: S311


def _person() -> str:
    """Who types, as user@machine."""
    import getpass

    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        # A container may run as a number without a name.
        user = str(os.geteuid())
    return f"{user}@{socket.gethostname()}"


def _read(path: Path) -> bytes | None:
    """A file of this node; None when there is none."""
    with files.on_this_node(f"read {path}"):
        return path.read_bytes() if path.exists() else None
