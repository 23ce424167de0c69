"""The deadlines of a probation, as the process that began it measures them, and what the health checks have shown."""

from dataclasses import dataclass, replace
from datetime import timedelta

from da_agent.domain.node.node_states import Probation


@dataclass(frozen=True, slots=True)
class ProbationWatch:
    """The probation that this process began, if any. Moments are those of the monotonic clock, which goes on while the
    machine is suspended.

    probation       as it is in the node state; None: this process began none
    ends            when the release must be ready
    health_ends     when the release must be healthy: `health timeout` after it became ready; None before that
    min_healthy     how long the health checks must pass before the probation is committed
    healthy_since   since when all health checks have passed without a break
    failing_check   the health check that failed last
    failing_since   since when the web server has failed to take the release over without refusing it
    asked_late      whether the workers were probed, or the health checks made, once after `ends`
    checked_late    whether the health checks were made once after the health deadline
    quarantined     whether other nodes have quarantined the release meanwhile
    """

    probation: Probation | None = None
    ends: timedelta = timedelta()
    health_ends: timedelta | None = None
    min_healthy: timedelta = timedelta()
    healthy_since: timedelta | None = None
    failing_check: str | None = None
    failing_since: timedelta | None = None
    asked_late: bool = False
    checked_late: bool = False
    quarantined: bool = False

    # ---- what happens

    def asked(self, now: timedelta) -> "ProbationWatch":
        """The workers are about to be probed, or the health checks to be made."""
        return replace(self, asked_late=self.is_late(now))

    def unanswered(self) -> "ProbationWatch":
        """A worker has yet to answer. Until then the release does not count as healthy."""
        return replace(self, healthy_since=None)

    def ready(self, patience: timedelta, now: timedelta) -> "ProbationWatch":
        """Every worker is ready. The time for the health checks, `patience`, begins once in a probation."""
        return self if self.health_ends is not None else replace(self, health_ends=now + patience)

    def checking(self, now: timedelta) -> "ProbationWatch":
        """The health checks are about to be made."""
        return replace(self.asked(now), checked_late=self.health_left(now) <= timedelta())

    def checked(self, failing_check: str | None, now: timedelta) -> "ProbationWatch":
        """The health checks were made; None: all have passed."""
        if failing_check is not None:
            return replace(self, failing_check=failing_check, healthy_since=None)
        since = now if self.healthy_since is None else self.healthy_since
        return replace(self, failing_check=None, healthy_since=since)

    def failed(self, now: timedelta) -> "ProbationWatch":
        """The web server has failed to take the release over."""
        return self if self.failing_since is not None else replace(self, failing_since=now)

    def condemned(self) -> "ProbationWatch":
        """Other nodes have quarantined the release."""
        return replace(self, quarantined=True)

    # ---- what follows

    def is_of(self, release: int) -> bool:
        """Whether this process has `release` in probation."""
        return self.probation is not None and self.probation.release == release

    def left(self, now: timedelta) -> timedelta:
        """The time left of the probation; negative once it has ended."""
        return self.ends - now

    def health_left(self, now: timedelta) -> timedelta:
        """The time left for the release to become healthy: never more than the time left of the probation."""
        ends = self.ends if self.health_ends is None else min(self.ends, self.health_ends)
        return ends - now

    def healthy_left(self, now: timedelta) -> timedelta:
        """How long the health checks must still pass."""
        healthy_for = timedelta() if self.healthy_since is None else now - self.healthy_since
        return max(self.min_healthy - healthy_for, timedelta())

    def is_healthy(self, now: timedelta) -> bool:
        """Whether the health checks have passed for `min_healthy`."""
        return self.healthy_since is not None and self.healthy_left(now) == timedelta()

    def is_late(self, now: timedelta) -> bool:
        return self.left(now) <= timedelta()

    def is_over(self, now: timedelta) -> bool:
        """True once the deadline has passed and one probe was made after it; a suspended machine must not fail the
        release."""
        return self.is_late(now) and self.asked_late

    def is_health_over(self, now: timedelta) -> bool:
        """True once the health deadline has passed and the health checks were made once after it."""
        return self.health_left(now) <= timedelta() and self.checked_late

    def has_failed_for(self, period: timedelta, now: timedelta) -> bool:
        """Whether the web server has failed to take the release over for `period`."""
        return self.failing_since is not None and now - self.failing_since >= period
