"""The steps that a node can take next."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing to do; `waiting` says what for, when something is still to come."""

    waiting: str | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """Fetch the release's blobs and build it beside the live one."""

    release: int


@dataclass(frozen=True, slots=True)
class Rehearse:
    """Try the staged release where nobody is served by it."""

    release: int


@dataclass(frozen=True, slots=True)
class Claim:
    """Ask for a turn; `joining`: this node serves nobody yet."""

    release: int
    joining: bool = False


@dataclass(frozen=True, slots=True)
class RunReleaseCommand:
    """Run the commands that are run once in the cluster."""

    release: int


@dataclass(frozen=True, slots=True)
class Drain:
    """Let nobody come, and wait until nobody is being served."""


@dataclass(frozen=True, slots=True)
class Undrain:
    """Let people come again."""


@dataclass(frozen=True, slots=True)
class Look:
    """Read the record again: much may have happened while this node drained."""


@dataclass(frozen=True, slots=True)
class Switch:
    """Begin the probation: node state, switch, and the web server takes it over."""

    release: int


@dataclass(frozen=True, slots=True)
class Start:
    """Start the web server on the current release."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Ask the worker processes what they serve."""

    release: int


@dataclass(frozen=True, slots=True)
class Check:
    """Run the health checks once: those of the probation, or of the live release before another one is blamed."""

    release: int


@dataclass(frozen=True, slots=True)
class Commit:
    """The probation ended well."""


@dataclass(frozen=True, slots=True)
class Revert:
    """The probation ended badly: back to the release before, and this one is not tried again here."""

    reason: str


@dataclass(frozen=True, slots=True)
class Recover:
    """A probation was cut off by the death of the agent: back to the release before."""


@dataclass(frozen=True, slots=True)
class Accept:
    """What the switch points to is served by every process, although its probation went wrong: it is the live one."""

    release: int


@dataclass(frozen=True, slots=True)
class TellUpdated:
    """Write into the rollout that this node serves its release."""


@dataclass(frozen=True, slots=True)
class TellFailed:
    """Write into the rollout that this node is well, and its release is not."""

    reason: str


@dataclass(frozen=True, slots=True)
class TellUnhealthy:
    """Write into the rollout that this node is at fault itself."""

    reason: str


@dataclass(frozen=True, slots=True)
class GiveBack:
    """The turn is of no use any more."""


@dataclass(frozen=True, slots=True)
class Review:
    """Look whether a rollout in which nobody moves has come to an end."""


Step = Stage | Rehearse | Start | Probe | Check | Commit | Revert | Recover | Accept
"""What changes this node alone."""

Move = Claim | RunReleaseCommand | Drain | Undrain | Look | Switch
"""What stands between a rehearsed release and the switch to it."""

Tell = TellUpdated | TellFailed | TellUnhealthy | GiveBack | Review
"""What the record of the rollout should have from this node."""

Action = Idle | Step | Move | Tell
