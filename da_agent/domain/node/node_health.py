"""What this process knows of the health of its own node."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class NodeHealth:
    """Whether this node may speak about a release.

    unhealthy    why this node itself is unhealthy; None: it is not, or this was written into the record
    healthy_on   the live release on which the health checks passed in this run of the loop
    """

    unhealthy: str | None = None
    healthy_on: int | None = None

    def resumed(self) -> "NodeHealth":
        """A new run of the loop begins. An earlier health check may be outdated, so it is made anew."""
        return replace(self, healthy_on=None)

    def broken(self, reason: str) -> "NodeHealth":
        """This node itself is unhealthy."""
        return replace(self, unhealthy=reason)

    def passed(self, release: int) -> "NodeHealth":
        """The health checks passed on the live release."""
        return replace(self, healthy_on=release)

    def cleared(self) -> "NodeHealth":
        """The node is idle, or its record says that it is unhealthy. The next action shows whether it still is."""
        return replace(self, unhealthy=None)
