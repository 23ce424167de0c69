"""What is asked of this node: its releases on disk, its state, its lock, its time."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from da_agent.domain.certificates.folders import Placed, Places
from da_agent.domain.config.settings import Settings
from da_agent.domain.node.node_states import NodeState
from da_agent.domain.packages.locked import Locked, Sources
from da_agent.domain.packages.wheels import Target, Wheel
from da_agent.domain.release.releases import Release


class Installation(Protocol):
    """The releases on this node's disk, and the switch."""

    def current(self) -> int | None:
        """Where the switch points; None before the first release, or when it points at nothing."""

    def staged(self) -> frozenset[int]:
        """Complete releases: those whose commit point was reached."""

    def load(self, number: int) -> Release:
        """The manifest of a staged release; Absent when it is not staged, Corrupt when it is damaged."""

    def verify(self, number: int) -> None:
        """Corrupt, naming the file, unless a staged release still has the bytes that it was staged with."""

    def require_room(self, release: Release) -> None:
        """NodeBroken, naming the folder and the missing bytes, when fetching and staging `release` could fill a disk.

        What the node has of it already is not counted.
        """

    def stage(self, release: Release, settings: Settings) -> None:
        """Build the release beside the live one from blobs that the node has, offline; its manifest comes last.

        ReleaseBroken when it cannot be built from its contents, NodeBroken when the node is at fault.
        """

    def switch(self, number: int) -> None:
        """Make a staged release live in one step: before it the old one is, after it the new, also after a crash."""

    def needless(self, keep: frozenset[int], before: datetime) -> tuple[int, ...]:
        """Releases that were touched last before that moment, unfinished ones too, and are neither live, nor in `keep`,
        nor used by a process."""

    def remove(self, number: int) -> None:
        """Afterwards there is no such release, for whoever has found it needless; there need not have been one."""

    def sweep(self, keep: frozenset[int]) -> None:
        """Remove unfinished releases and complete ones that are neither live, nor in `keep`, nor used by a process."""


class CertificateFolders(Protocol):
    """Certificates where other programs look for them: files 0400, whole folders, switched in one step each.

    A folder of somebody else that cannot be moved away (a mount) is changed file by file instead; `Placed` says so.
    Invalid when a folder holds more than certificates; NodeBroken for what else the node does not allow.
    """

    def read(self, folder: Path) -> Mapping[str, bytes] | None:
        """The files in a folder and those below, by relative name; None when there is no such folder."""

    def follow(self, places: Places) -> tuple[Placed, ...]:
        """The places have the live release's certificates. A release without any takes nothing away from others."""

    def show(self, certificates: Mapping[str, bytes], places: Places) -> tuple[Placed, ...]:
        """The places have these files, until there is a release that has some."""


class Environments(Protocol):
    """Makes a release's own Python environment."""

    def build(self, wheels: Sequence[Wheel], into: Path) -> None:
        """A whole environment at `into`, from wheels whose blobs the node has: offline, every hash checked.

        ReleaseBroken when wheels do not fit this Python or do not install; NodeBroken when the node is at fault.
        An unfinished one may be left at `into` after an error.
        """

    def forget(self) -> None:
        """Drop what was kept of wheels whose blobs the node does not have any more. What is built stays whole."""


class Resolver(Protocol):
    """Turns requirements into the exact wheels that every node installs."""

    @property
    def target(self) -> Target:
        """What this machine's Python and platform can resolve and build for."""

    def resolve(self, sources: Sources, previous: Sequence[Wheel]) -> AbstractContextManager[tuple[Locked, ...]]:
        """Every distribution of the result, sorted by name; paths are valid inside the context.

        Versions of `previous` are preferred, and its wheels are used again rather than made again.
        Invalid, with uv's reason shortened, when the requirements cannot be met or a source cannot be built (naming
        the missing header). NotHere when this machine has no index or no builder. Unreachable: an index that
        does not answer.
        """


class NodeStates(Protocol):
    """The node's memory."""

    def load(self) -> NodeState | None:
        """None when there is none, or when it is damaged: then it is rebuilt from what is on disk."""

    def save(self, node_state: NodeState) -> None:
        """Replace it atomically and durably."""


class Lock(Protocol):
    """One at a time on a node: sync, update, initialize and install_certs exclude each other."""

    def hold(self, patience: timedelta) -> AbstractContextManager[None]:
        """Busy, naming the holder, when it is not free within `patience`. A dead holder holds nothing."""


class Clock(Protocol):
    """This machine's time, and waiting."""

    def now(self) -> datetime:
        """UTC. Somebody may set it, forward or back."""

    def elapsed(self) -> timedelta:
        """Since some moment before this process began. Nobody can set it, and it goes on while the machine is
        suspended: for how long something has taken."""

    def wait(self, period: timedelta) -> bool:
        """Return after `period`, or at once when something woke us (True). A stop raises Stopped."""

    def wake(self) -> None:
        """Make the wait that goes on, or else the next one, return at once. From any thread."""

    def stop(self) -> None:
        """Make the wait that goes on, and each one after it, raise Stopped. From any thread."""
