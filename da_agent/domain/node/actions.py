"""The actions that a node can do next."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing to do; `waiting` says what the node waits for, if anything."""

    waiting: str | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """Fetch the release's blobs and build the release beside the live one."""

    release: int


@dataclass(frozen=True, slots=True)
class Rehearse:
    """Try the staged release without serving any request from it."""

    release: int


@dataclass(frozen=True, slots=True)
class Claim:
    """Claim a slot; `joining`: this node does not serve yet."""

    release: int
    joining: bool = False


@dataclass(frozen=True, slots=True)
class RunReleaseCommand:
    """Run the release command, once in the cluster."""

    release: int


@dataclass(frozen=True, slots=True)
class Drain:
    """Tell the load balancer to send no requests, and wait until none is being answered."""


@dataclass(frozen=True, slots=True)
class Undrain:
    """Tell the load balancer to send requests again."""


@dataclass(frozen=True, slots=True)
class Look:
    """Read the record again: much may have happened while this node drained."""


@dataclass(frozen=True, slots=True)
class Switch:
    """Begin the probation: write the node state, switch the symbolic link, and make the web server take the release
    over."""

    release: int


@dataclass(frozen=True, slots=True)
class Start:
    """Start the web server on the current release."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Ask the worker processes which release they serve."""

    release: int


@dataclass(frozen=True, slots=True)
class Check:
    """Make the health checks once: of the release in probation, or of the live one before a failure of another is
    reported."""

    release: int


@dataclass(frozen=True, slots=True)
class Commit:
    """End the probation: it passed."""


@dataclass(frozen=True, slots=True)
class Revert:
    """End the probation: it failed. Go back to the release before; this node does not try this one again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Recover:
    """Go back to the release before: the death of the agent cut the probation off."""


@dataclass(frozen=True, slots=True)
class Accept:
    """Make the current release the live one: every process serves it, although its probation failed."""

    release: int


@dataclass(frozen=True, slots=True)
class TellUpdated:
    """Write into the rollout that this node serves its release."""


@dataclass(frozen=True, slots=True)
class TellFailed:
    """Write into the rollout that this node is healthy and the release failed on it."""

    reason: str


@dataclass(frozen=True, slots=True)
class TellUnhealthy:
    """Write into the rollout that this node is unhealthy."""

    reason: str


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Give back the slot, which is of no use any more."""


@dataclass(frozen=True, slots=True)
class Review:
    """Look whether a rollout in which no node updates has ended."""


Prepare = Stage | Rehearse | RunReleaseCommand
"""What shows whether a release is good before any process serves it."""

Move = Claim | Drain | Undrain | Look | Switch
"""What stands between a rehearsed release and the switch to it."""

Serve = Start | Probe | Check | Commit | Revert | Recover | Accept
"""What this node does with the release that it has switched to."""

Tell = TellUpdated | TellFailed | TellUnhealthy | GiveBack | Review
"""What the record of the rollout should have from this node."""

Action = Idle | Prepare | Move | Serve | Tell
