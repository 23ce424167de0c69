"""The `da agent` section of config.yml: the same on every node, because it is part of the release."""

from dataclasses import dataclass
from datetime import timedelta
from keyword import iskeyword

from da_agent.domain.config.strategies import ONE, Share, Strategy

MARGIN = timedelta(seconds=30)
"""What a turn must have beside the waits that are part of it: reloading, slow disks, and requests to a slow store."""


@dataclass(frozen=True, slots=True)
class Health:
    """When a release counts as well, beside the worker processes' own word.

    path      asked of this node's web server; must answer `status` (None: anything below 500, and no redirection is
              followed) and, where given, hold `text`; None asks nothing
    command   run as the web user with the release's environment; must end with exit code 0
    minimum   how long everything must hold without a break;  patience: how long it may take until it does (seconds)
    """

    path: str | None = "/"
    status: int | None = None
    text: str | None = None
    command: str | None = None
    minimum: timedelta = timedelta(seconds=2)
    patience: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the section says, with defaults.

    poll_interval   how often a node looks for a new release (seconds in the file)
    quiet_period    how long nobody must have written to the inbox before it is published (seconds)
    start_timeout   how long the web server may take to prove that it serves a release (seconds)
    drain           how long a node that is about to change waits for requests that are being answered (seconds)
    turn            how long a turn may last (seconds); None for what the other waits need
    once            commands that are run once in the cluster for each release; None for docassemble's own, where
                    it is installed
    application     `MODULE:CALLABLE` of the WSGI application; None for docassemble's own, where installed
    processes, threads   of the web server, per node
    """

    poll_interval: timedelta = timedelta(seconds=10)
    quiet_period: timedelta = timedelta(seconds=3)
    start_timeout: timedelta = timedelta(seconds=120)
    drain: timedelta = timedelta(seconds=10)
    health: Health = Health()
    max_unavailable: Share = ONE
    canary: int = 1
    max_failures: int = 1
    slot_timeout: timedelta | None = None
    release_command: tuple[str, ...] | None = None
    application: str | None = None
    processes: int = 2
    threads: int = 8

    @property
    def probation(self) -> timedelta:
        """How long a release may take from the switch to the proof that it serves and is well."""
        return self.start_timeout + self.health.patience + self.health.minimum

    @property
    def there_and_back(self) -> timedelta:
        """How long a node may be out of service: a whole probation, and then the start of the release before."""
        return self.probation + self.start_timeout

    @property
    def shortest_slot_timeout(self) -> timedelta:
        """Anything less would end while the node is still busy, and let the next one begin."""
        return self.drain + self.there_and_back + MARGIN

    def strategy(self, release_command: tuple[str, ...]) -> Strategy:
        """`once` are the commands, as the release needs them."""
        return Strategy(
            self.max_unavailable,
            self.canary,
            self.max_failures,
            self.slot_timeout or self.shortest_slot_timeout,
            release_command,
        )


def names_application(text: str) -> bool:
    """Whether `text` is a `MODULE:CALLABLE` that Python could import; it becomes part of the loader."""
    module, colon, callable_ = text.partition(":")
    names = [*module.split("."), callable_]
    return bool(colon) and all(name.isidentifier() and not iskeyword(name) for name in names)
