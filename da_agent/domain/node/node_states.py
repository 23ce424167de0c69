"""What a node must remember across its own death."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal


@dataclass(frozen=True, slots=True)
class Probation:
    """Between the switch to `release` and the proof that it serves; `before` is where to go back to, None: nowhere.

    `attempt` counts from 1: a probation may be interrupted by something that is not the release's fault, but not twice.
    `retries` is how many the release had when it began.
    """

    release: int
    before: int | None
    until: datetime
    attempt: int = 1
    retries: int = 0


@dataclass(frozen=True, slots=True)
class Rejection:
    """A release that this node tried and gave up, and why.

    lasting   False when the store or this node was at fault: then it is tried again after a while
    retries   how many the release had then;  log: the end of the web server's log
    """

    release: int
    reason: str
    at: datetime
    lasting: bool = True
    retries: int = 0
    log: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"release {self.release} {'was given up' if self.lasting else 'cannot be taken yet'}: {self.reason}"


@dataclass(frozen=True, slots=True)
class NodeState:
    """`live` is the newest release that was stable to serve here; `rejected` are those that are not tried again.

    `interrupted` is the release whose last probation was cut off by the death of the agent.
    """

    live: int | None = None
    probation: Probation | None = None
    rejected: tuple[Rejection, ...] = ()
    interrupted: int | None = None
    format: Literal[1] = 1

    def begin(
        self, release: int, *, until: datetime, current: int | None = None, retries: int = 0, escape: bool = False
    ) -> "NodeState":
        """`current` is where to go back to while nothing has been stable here yet; an `escape` leads nowhere back."""
        attempt = 2 if self.interrupted == release else 1
        before = self.live if self.live is not None else current
        return replace(self, probation=Probation(release, None if escape else before, until, attempt, retries))

    def interrupt(self) -> "NodeState":
        """The probation was cut off: the release before it is served again, and this one may be tried once more."""
        assert self.probation is not None
        return replace(self, probation=None, interrupted=self.probation.release)

    def commit(self) -> "NodeState":
        """The probation ended well: its release is the live one."""
        assert self.probation is not None
        return replace(self.accept(self.probation.release), probation=None, interrupted=None)

    def accept(self, release: int) -> "NodeState":
        """It serves, whatever was thought of it before."""
        return replace(self, live=release, rejected=tuple(each for each in self.rejected if each.release != release))

    def revert(self) -> "NodeState":
        """The probation ended: the release before it is served again."""
        return replace(self, probation=None)

    def reject(self, rejection: Rejection) -> "NodeState":
        others = tuple(each for each in self.rejected if each.release != rejection.release)
        return replace(self, rejected=(*others, rejection)[-KEPT_REJECTIONS:])

    def excuse(self, release: int, *, at: datetime) -> "NodeState":
        """This node was at fault, not the release: it is tried again after a while."""
        rejection = self.rejection(release)
        return self if rejection is None else self.reject(replace(rejection, at=at, lasting=False))

    def rejection(self, release: int) -> Rejection | None:
        return next((rejection for rejection in self.rejected if rejection.release == release), None)


KEPT_REJECTIONS = 20
"""Old failures are of no use once newer releases have come; the node state stays one small file."""
