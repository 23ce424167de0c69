"""Waiting until the nodes have what was pushed."""

from datetime import timedelta

from da_agent import ports
from da_agent.domain.inboxes import Verdict
from da_agent.domain.reports import Report, Sighting
from da_agent.errors import NotHere, Refused, ReleaseBroken, TimedOut
from da_agent.workflows import reports
from da_agent.workflows.inboxes import Inboxes

LOOK_AGAIN = timedelta(seconds=0.5)


GONE = timedelta(minutes=5)
"""A node that has not reported for so long is not waited for. One that resolves or stages may be silent for a while."""


def until_adopted(store: ports.Store, clock: ports.Clock, progress: ports.Progress, patience: timedelta) -> Verdict:
    """The verdict of some node on the inbox as it is now; NotHere when none comes in time."""
    inboxes = Inboxes(store)
    deadline = clock.now() + patience
    with progress.step("waiting for a node that adopts the inbox") as tell:
        while clock.now() < deadline:
            verdict = inboxes.verdict()
            if verdict is not None and verdict.fingerprint == inboxes.list().fingerprint:
                return verdict
            tell(_names([each for each in _alive(store) if each.report.doing]))
            clock.wait(LOOK_AGAIN)
    raise NotHere("no node has adopted the inbox: none is alive that can resolve packages; see da-agent status")


def until_served(
    store: ports.Store, clock: ports.Clock, progress: ports.Progress, number: int, patience: timedelta
) -> tuple[Sighting, ...]:
    """Every live node serves release `number` or a newer one; their reports.

    ReleaseBroken when a node has given the release up; TimedOut, naming the nodes that are behind. What was pushed
    stays pushed in both cases.
    """
    deadline = clock.now() + patience
    with progress.step(f"waiting for the nodes to serve release {number}") as tell:
        while True:
            alive = _alive(store)
            behind = [each for each in alive if (each.report.release or 0) < number]
            _raise_failure(alive, number)
            if not behind:
                return tuple(alive)
            tell(f"{len(alive) - len(behind)} of {len(alive)} do, not yet {_names(behind)}")
            if clock.now() >= deadline:
                raise TimedOut(f"not every node serves release {number} yet: {_names(behind)}")
            clock.wait(LOOK_AGAIN)


def _alive(store: ports.Store) -> list[Sighting]:
    now = store.clock()
    return [each for each in reports.sightings(store) if not each.silent(now, GONE)]


def _raise_failure(alive: list[Sighting], number: int) -> None:
    for each in alive:
        for failure in each.report.failed:
            if failure.release == number and failure.lasting:
                raise ReleaseBroken(f"{each.report.node} gave release {number} up: {failure.reason}")


def _names(behind: list[Sighting]) -> str:
    return ", ".join(f"{each.report.node} ({_state(each.report)})" for each in behind)


def _state(report: Report) -> str:
    return report.problem or report.doing or report.phase.value


def release_of(verdict: Verdict) -> int:
    """The release that an inbox became; Refused with the mistakes when it did not become one."""
    if verdict.release is None:
        raise Refused(verdict.mistakes)
    return verdict.release
