"""The `da agent` section of config.yml: the same on every node, because it is part of the release."""

from dataclasses import dataclass
from datetime import timedelta
from keyword import iskeyword

from da_agent.domain.config.strategies import ONE, Share, Strategy
from da_agent.domain.config.visitors import DIRECT, Visitors
from da_agent.domain.packages.overlaps import Overlap

MARGIN = timedelta(seconds=30)
"""The part of a slot beyond its configured waits: for reloading, slow disks, and requests to a slow store."""


@dataclass(frozen=True, slots=True)
class Health:
    """When a release counts as healthy, in addition to the readiness of the worker processes.

    path      a path that this node's web server must answer; None sends no request; redirections are not followed
    status    the HTTP status that the answer must have; None accepts every status below 500
    text      a text that the answer must contain, if set
    command   runs as the web user with the release's environment; must end with exit code 0
    minimum   how long all checks must pass without a break (seconds in the file)
    patience  how long it may take until they do (seconds in the file)
    """

    path: str | None = "/"
    status: int | None = None
    text: str | None = None
    command: str | None = None
    minimum: timedelta = timedelta(seconds=2)
    patience: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of the section, with defaults. Durations are seconds in the file.

    poll_interval     how often a node polls for a new release
    quiet_period      how long the inbox must stay unchanged before it is published
    start_timeout     how long the web server may take until its workers are ready with a release
    drain             how long a node that is about to update waits for running requests
    health            when a release counts as healthy
    slot_timeout      how long a slot may last; None for the time that the other waits need
    release_command   commands that run once in the cluster for each release; None for docassemble's own, if installed
    application       `MODULE:CALLABLE` of the WSGI application; None for docassemble's own, if installed
    processes, threads   of the web server: processes on each node, threads in each process
    max_unavailable, canary, max_failures   as in `Strategy`
    overlaps          whose file counts where two distributions own it
    visitors          how requests from outside are received
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
    overlaps: tuple[Overlap, ...] = ()
    visitors: Visitors = DIRECT

    @property
    def probation(self) -> timedelta:
        """How long a release may take from the switch until it is ready and healthy."""
        return self.start_timeout + self.health.patience + self.health.minimum

    @property
    def there_and_back(self) -> timedelta:
        """How long a node may be out of service: a whole probation, and then the start of the previous release."""
        return self.probation + self.start_timeout

    @property
    def shortest_slot_timeout(self) -> timedelta:
        """The shortest valid slot timeout. A shorter slot could end on a busy node, and the next node would begin."""
        return self.drain + self.there_and_back + MARGIN

    def strategy(self, release_command: tuple[str, ...]) -> Strategy:
        """The strategy of a rollout with these settings; `release_command` has the commands that the release needs."""
        return Strategy(
            self.max_unavailable,
            self.canary,
            self.max_failures,
            self.slot_timeout or self.shortest_slot_timeout,
            release_command,
        )


def names_application(text: str) -> bool:
    """Whether `text` is a `MODULE:CALLABLE` that Python can import. It becomes part of the loader's code."""
    module, colon, callable_ = text.partition(":")
    names = [*module.split("."), callable_]
    return bool(colon) and all(name.isidentifier() and not iskeyword(name) for name in names)
