"""What the web server has shown of the release that it should serve."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

from da_agent.domain.application.readiness import Answer, Readiness, Wanted, Worker, readiness_of

MISMATCH_PATIENCE = timedelta(seconds=60)
"""How long the worker processes of the live release may still be loading it before the node counts as unhealthy."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What this process has found out since the web server was last refreshed. Moments are those of the monotonic
    clock.

    due                the release that the web server has yet to take over; None: none
    refused            why the web server did not accept the release, when it has said so
    answers            the newest answer of each process that was alive after it
    readiness          the readiness of the release; None before the first probe
    ready_workers      the workers that answered as the release does
    mismatched_since   since when the workers no longer serve the live release; None while they do
    """

    due: int | None = None
    refused: str | None = None
    answers: tuple[Answer, ...] = ()
    readiness: Readiness | None = None
    ready_workers: frozenset[Worker] = frozenset()
    mismatched_since: timedelta | None = None

    # ---- what happens

    def forgotten(self) -> "Evidence":
        """The answers count no more. What the web server has yet to take over stays due."""
        return Evidence(due=self.due, mismatched_since=self.mismatched_since)

    def before_refresh(self, release: int) -> "Evidence":
        """The web server is about to take `release` over. It stays due until `after_refresh`, whatever fails."""
        return replace(self.forgotten(), due=release)

    def after_refresh(self) -> "Evidence":
        """The web server has taken the release over or refused it."""
        return replace(self, due=None)

    def after_refusal(self, reason: str) -> "Evidence":
        """The web server did not accept the release."""
        return replace(self, refused=reason)

    def after_probe(self, wanted: Wanted, workers: frozenset[Worker], answers: Iterable[Answer]) -> "Evidence":
        """These `answers` came; then these `workers` were alive. Earlier answers count where no newer one came."""
        newest = {answer.pid: answer for answer in (*self.answers, *answers)}
        alive = tuple(newest[pid] for pid in sorted(worker.pid for worker in workers) if pid in newest)
        readiness = readiness_of(wanted, workers, alive)
        probed = replace(self, answers=alive, readiness=readiness)
        return replace(probed, ready_workers=workers, mismatched_since=None) if readiness.holds else probed

    def after_mismatch(self, now: timedelta) -> "Evidence":
        """The workers were seen not to serve the live release."""
        return self if self.mismatched_since is not None else replace(self, mismatched_since=now)

    def after_repair(self) -> "Evidence":
        """The node does something about the mismatch. The workers get time again."""
        return replace(self, mismatched_since=None)

    # ---- what follows

    def may_still_load(self, now: timedelta) -> bool:
        """Whether the workers that did not answer may still be loading the live release."""
        readiness, since = self.readiness, self.mismatched_since
        if readiness is None or not readiness.missing or readiness.wrong:
            return False
        return since is None or now - since < MISMATCH_PATIENCE
