"""What a node must remember when its agent dies."""

from dataclasses import dataclass, replace
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Probation:
    """The time from the switch to `release` until it is committed or reverted.

    `before` is the release to go back to; None: none. `attempt` counts from 1: a probation may be interrupted by
    something other than the release once, but not twice. `retries` is the number of retries of the release when it
    began.
    """

    release: int
    before: int | None
    until: datetime
    attempt: int = 1
    retries: int = 0


@dataclass(frozen=True, slots=True)
class Rejection:
    """A release that this node tried and rejected, and why.

    lasting   False when the store or this node was the cause: then the release is tried again after a while
    retries   the number of retries of the release then
    log       the end of the web server's log
    """

    release: int
    reason: str
    at: datetime
    lasting: bool = True
    retries: int = 0
    log: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"release {self.release} {'is rejected here' if self.lasting else 'cannot be taken yet'}: {self.reason}"


@dataclass(frozen=True, slots=True)
class NodeState:
    """What one node has served, tries and rejects.

    `live` is the newest release that was ready here; `rejected` are those that are not tried again. `interrupted` is
    the release whose last probation the death of the agent cut off.
    """

    live: int | None = None
    probation: Probation | None = None
    rejected: tuple[Rejection, ...] = ()
    interrupted: int | None = None

    def begin(
        self, release: int, *, until: datetime, current: int | None = None, retries: int = 0, escape: bool = False
    ) -> "NodeState":
        """The state with a probation of `release`.

        `current` is the release to go back to while none has been ready here. An `escape` has no release to go back to.
        """
        attempt = 2 if self.interrupted == release else 1
        before = self.live if self.live is not None else current
        return replace(self, probation=Probation(release, None if escape else before, until, attempt, retries))

    def interrupt(self) -> "NodeState":
        """The probation was cut off: the release before it is served again, and this one may be tried once more."""
        assert self.probation is not None
        return replace(self, probation=None, interrupted=self.probation.release)

    def commit(self) -> "NodeState":
        """The probation passed: its release is the live one."""
        assert self.probation is not None
        return replace(self.accept(self.probation.release), probation=None, interrupted=None)

    def accept(self, release: int) -> "NodeState":
        """The release serves, even if it was rejected before: it is the live one."""
        return replace(self, live=release, rejected=tuple(each for each in self.rejected if each.release != release))

    def revert(self) -> "NodeState":
        """The probation ended: the release before it is served again."""
        return replace(self, probation=None)

    def reject(self, rejection: Rejection) -> "NodeState":
        """The state with this rejection instead of an earlier one of the same release."""
        others = tuple(each for each in self.rejected if each.release != rejection.release)
        return replace(self, rejected=(*others, rejection)[-KEPT_REJECTIONS:])

    def excuse(self, release: int, *, at: datetime) -> "NodeState":
        """This node was the cause, not the release: it is tried again after a while."""
        rejection = self.rejection(release)
        return self if rejection is None else self.reject(replace(rejection, at=at, lasting=False))

    def rejection(self, release: int) -> Rejection | None:
        return next((rejection for rejection in self.rejected if rejection.release == release), None)


KEPT_REJECTIONS = 20
"""Old rejections are of no use once newer releases have come; the node state stays one small file."""
