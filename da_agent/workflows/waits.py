"""Waiting until the nodes have what was pushed."""

from datetime import timedelta

from da_agent import ports
from da_agent.domain.inboxes import Verdict
from da_agent.domain.reports import Sighting
from da_agent.errors import NotHere, Refused, ReleaseBroken, TimedOut
from da_agent.workflows import reports
from da_agent.workflows.inboxes import Inboxes

LOOK_AGAIN = timedelta(seconds=0.5)


GONE = timedelta(minutes=5)
"""A node that has not reported for so long is not waited for. One that resolves or stages may be silent for a while."""


def until_adopted(store: ports.Store, clock: ports.Clock, patience: timedelta) -> Verdict:
    """The verdict of some node on the inbox as it is now; NotHere when none comes in time."""
    inboxes = Inboxes(store)
    deadline = clock.now() + patience
    while clock.now() < deadline:
        verdict = inboxes.verdict()
        if verdict is not None and verdict.fingerprint == inboxes.list().fingerprint:
            return verdict
        clock.wait(LOOK_AGAIN)
    raise NotHere("no node has adopted the inbox: none is alive that can resolve packages; see da-agent status")


def until_served(
    store: ports.Store, clock: ports.Clock, progress: ports.Progress, number: int, patience: timedelta
) -> tuple[Sighting, ...]:
    """Every live node serves release `number` or a newer one; their reports.

    ReleaseBroken when a node has given the release up; TimedOut, naming the nodes that are behind. What was pushed
    stays pushed in both cases.
    """
    deadline, done = clock.now() + patience, 0
    with progress.work(f"Nodes that serve release {number}", len(_alive(store)), "nodes") as advance:
        while True:
            alive = _alive(store)
            behind = [each for each in alive if (each.report.release or 0) < number]
            advance(len(alive) - len(behind) - done)
            done = len(alive) - len(behind)
            _raise_failure(alive, number)
            if not behind:
                return tuple(alive)
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
    return ", ".join(f"{each.report.node} ({each.report.problem or each.report.phase.value})" for each in behind)


def release_of(verdict: Verdict) -> int:
    """The release that an inbox became; Refused with the mistakes when it did not become one."""
    if verdict.release is None:
        raise Refused(verdict.mistakes)
    return verdict.release
