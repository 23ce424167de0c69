"""Interfaces to this node: its releases on disk, its state, its lock, its clock."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from da_agent.domain.certificates.folders import Placed, Places
from da_agent.domain.config.settings import Settings
from da_agent.domain.node.node_states import NodeState
from da_agent.domain.packages.locked import Locked, Sources
from da_agent.domain.packages.overlaps import Overlap
from da_agent.domain.packages.wheels import Target, Wheel
from da_agent.domain.release.releases import Release


class Installation(Protocol):
    """The releases on this node's disk, and the switch that points to the live one."""

    def current(self) -> int | None:
        """The number that the switch points to; None before the first release, or when the target does not exist."""

    def staged(self) -> frozenset[int]:
        """The numbers of the complete releases: those whose staging reached its commit point."""

    def load(self, number: int) -> Release:
        """The manifest of a staged release; NotFound when the release is not staged, Corrupt when it is damaged."""

    def verify(self, number: int) -> None:
        """Check that a staged release still has the bytes it was staged with; Corrupt, naming the file, when not."""

    def require_room(self, release: Release) -> None:
        """Check that fetching and staging `release` cannot fill a disk; blobs that the node already has do not count.

        NodeBroken, naming the folder and the missing bytes, when it could.
        """

    def stage(self, release: Release, settings: Settings) -> None:
        """Build the release beside the live one, offline, from blobs that the node has. The manifest is written last.

        ReleaseBroken when the release cannot be built from its contents, NodeBroken when the node is the cause.
        """

    def switch(self, number: int) -> None:
        """Make a staged release live in one atomic step. After a crash either the old or the new release is live."""

    def needless(self, keep: frozenset[int], before: datetime) -> tuple[int, ...]:
        """Releases last touched before `before`, complete or not, that are not live, not in `keep` and not in use.

        A release is in use while a process runs from it.
        """

    def remove(self, number: int) -> None:
        """Remove a release that `needless` returned; does nothing when it does not exist."""

    def sweep(self, keep: frozenset[int]) -> None:
        """Remove unfinished releases, and complete ones that are not live, not in `keep` and not used by a process."""


class CertificateFolders(Protocol):
    """The folders where other programs look for certificates.

    Files have mode 0400. Each folder is switched as a whole, in one step.
    A foreign folder that cannot be moved away (a mount) is changed file by file instead; `Placed` says so.
    Invalid when a folder holds anything but certificates; NodeBroken for every other obstacle on the node.
    """

    def read(self, folder: Path) -> Mapping[str, bytes] | None:
        """The files in a folder and its subfolders, by relative name; None when the folder does not exist."""

    def follow(self, places: Places) -> tuple[Placed, ...]:
        """Put the live release's certificates into the places, and keep them current.

        A release without certificates leaves the files in the places untouched.
        """

    def show(self, certificates: Mapping[str, bytes], places: Places) -> tuple[Placed, ...]:
        """Put these files into the places, until a release with certificates is live."""


class Environments(Protocol):
    """Builds the Python environment of a release."""

    def build(self, wheels: Sequence[Wheel], into: Path, overlaps: Sequence[Overlap] = ()) -> None:
        """Build a complete environment at `into`, offline, from wheels whose blobs the node has. Checks every hash.

        Of a file that both of `overlaps` own, that of the winner is there, with its bytecode.

        ReleaseBroken when wheels do not fit this Python or do not install; NodeBroken when the node is the cause.
        After an error, an unfinished environment may remain at `into`.
        """

    def forget(self) -> None:
        """Drop cached data of wheels whose blobs the node no longer has. Environments already built stay complete."""


class Resolver(Protocol):
    """Turns requirements into the exact wheels that every node installs."""

    @property
    def target(self) -> Target:
        """The Python and platform that this machine resolves and builds for."""

    def resolve(self, sources: Sources, previous: Sequence[Wheel]) -> AbstractContextManager[tuple[Locked, ...]]:
        """Every distribution of the result, sorted by name. Paths are valid inside the context only.

        Versions of `previous` are preferred, and its wheels are reused instead of being built again.
        Invalid, with uv's reason shortened, when the requirements cannot be met.
        Invalid, naming the missing header, when a source cannot be built.
        Invalid, naming the package, when no node could install the result, or two distributions own one file.
        NotHere when this machine has no index or no builder. Unreachable when an index does not answer.
        """


class NodeStates(Protocol):
    """What the node remembers between runs."""

    def load(self) -> NodeState | None:
        """The saved state; None when it is missing or damaged. The caller then rebuilds it from what is on disk."""

    def save(self, node_state: NodeState) -> None:
        """Replace the saved state atomically and durably."""


class Lock(Protocol):
    """The lock of this node: sync, update, initialize and install_certs exclude each other."""

    def hold(self, patience: timedelta) -> AbstractContextManager[None]:
        """Hold the lock inside the context. Busy, naming the holder, when the lock is not free within `patience`.

        The lock of a dead process is free.
        """


class Clock(Protocol):
    """This machine's clocks, and interruptible waiting."""

    def now(self) -> datetime:
        """The wall clock in UTC. It may jump forward or back."""

    def elapsed(self) -> timedelta:
        """The monotonic clock: the time since some moment before this process began, for measuring durations.

        It never jumps, and it includes the time that the machine was suspended.
        """

    def wait(self, period: timedelta) -> bool:
        """Return False after `period`, or True as soon as `wake` is called. Raises Stopped after `stop`."""

    def wake(self) -> None:
        """Make the current wait, or else the next one, return at once. Safe to call from any thread."""

    def stop(self) -> None:
        """Make the current wait and every later one raise Stopped. Safe to call from any thread."""
