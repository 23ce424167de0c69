"""What a node must remember across its own death."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal


@dataclass(frozen=True, slots=True)
class Trial:
    """Between the switch to `release` and the proof that it serves; `before` is where to go back to, None: nowhere.

    `attempt` counts from 1: a trial may be interrupted by something that is not the release's fault, but not twice.
    `pardons` is how many the release had when it began.
    """

    release: int
    before: int | None
    until: datetime
    attempt: int = 1
    pardons: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """A release that this node tried and gave up, and why.

    lasting   False when the store or this node was at fault: then it is tried again after a while
    pardons   how many the release had then;  log: the end of the web server's log
    """

    release: int
    reason: str
    at: datetime
    lasting: bool = True
    pardons: int = 0
    log: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"release {self.release} {'was given up' if self.lasting else 'cannot be taken yet'}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Journal:
    """`live` is the newest release that was proven to serve here; `failed` are those that are not tried again.

    `interrupted` is the release whose last trial was cut off by the death of the agent.
    """

    live: int | None = None
    trial: Trial | None = None
    failed: tuple[Failure, ...] = ()
    interrupted: int | None = None
    format: Literal[1] = 1

    def begin(
        self, release: int, *, until: datetime, current: int | None = None, pardons: int = 0, escape: bool = False
    ) -> "Journal":
        """`current` is where to go back to while nothing has been proven here yet; an `escape` leads nowhere back."""
        attempt = 2 if self.interrupted == release else 1
        before = self.live if self.live is not None else current
        return replace(self, trial=Trial(release, None if escape else before, until, attempt, pardons))

    def interrupt(self) -> "Journal":
        """The trial was cut off: the release before it is served again, and this one may be tried once more."""
        assert self.trial is not None
        return replace(self, trial=None, interrupted=self.trial.release)

    def settle(self) -> "Journal":
        """The trial ended well: its release is the live one."""
        assert self.trial is not None
        return replace(self.accept(self.trial.release), trial=None, interrupted=None)

    def accept(self, release: int) -> "Journal":
        """It serves, whatever was thought of it before."""
        return replace(self, live=release, failed=tuple(each for each in self.failed if each.release != release))

    def revert(self) -> "Journal":
        """The trial ended: the release before it is served again."""
        return replace(self, trial=None)

    def give_up(self, failure: Failure) -> "Journal":
        others = tuple(each for each in self.failed if each.release != failure.release)
        return replace(self, failed=(*others, failure)[-KEPT_FAILURES:])

    def excuse(self, release: int, *, at: datetime) -> "Journal":
        """This node was at fault, not the release: it is tried again after a while."""
        failure = self.failure(release)
        return self if failure is None else self.give_up(replace(failure, at=at, lasting=False))

    def failure(self, release: int) -> Failure | None:
        return next((failure for failure in self.failed if failure.release == release), None)


KEPT_FAILURES = 20
"""Old failures are of no use once newer releases have come; the journal stays one small file."""
