"""What a node does next, as a function of what it sees.

The loop observes, asks `decide`, does the one action and begins again; nothing else remembers where it was. So the
process may be cut between any two effects: the next observation finds whatever was done, and goes on from there.

Order of things for a node that is behind: stage, rehearse, switch (which begins the trial), prove, then settle or
revert. The trial is in the journal before the switch; whoever finds a trial that it did not begin itself takes it back.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from da_agent.domain.journals import Journal
from da_agent.domain.proofs import Proof, Worker


@dataclass(frozen=True, slots=True)
class Observation:
    """What a node sees. Numbers are those of releases.

    offered      releases of the ledger that the node could take, newest first; empty when the store has not answered
    current      where the switch points
    staged       complete on disk and not damaged;  rehearsed: found good by this process
    conducting   whether this process began the trial in the journal itself
    running      whether the web server runs;  workers: its worker processes now
    proven       those of them that have answered from the live release
    proof        the state of the proof of the trial's release, None before the first question
    refused      why the web server did not take the trial's release, when it has said so
    """

    now: datetime
    offered: tuple[int, ...]
    current: int | None
    journal: Journal
    staged: frozenset[int] = frozenset()
    rehearsed: frozenset[int] = frozenset()
    conducting: bool = False
    running: bool = False
    workers: frozenset[Worker] = frozenset()
    proven: frozenset[Worker] = frozenset()
    proof: Proof | None = None
    refused: str | None = None


TRY_AGAIN = timedelta(seconds=60)
"""After this a node takes up again what it gave up because of the store, and if it has never served anything,
everything: its database may have come."""


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to do."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Fetch the release's blobs and build it beside the live one."""

    release: int


@dataclass(frozen=True, slots=True)
class Rehearse:
    """Try the staged release where nobody is served by it."""

    release: int


@dataclass(frozen=True, slots=True)
class Switch:
    """Begin the trial: journal, switch, and the web server takes it over."""

    release: int


@dataclass(frozen=True, slots=True)
class Start:
    """Start the web server on the current release."""


@dataclass(frozen=True, slots=True)
class Prove:
    """Ask the worker processes which release they serve."""

    release: int


@dataclass(frozen=True, slots=True)
class Settle:
    """The trial ended well."""


@dataclass(frozen=True, slots=True)
class Revert:
    """The trial ended badly: back to the release before, and this one is not tried again here."""

    reason: str


@dataclass(frozen=True, slots=True)
class Recover:
    """A trial was cut off by the death of the agent: back to the release before."""


@dataclass(frozen=True, slots=True)
class Accept:
    """What the switch points to is served by every process, although its trial went wrong: it is the live one."""

    release: int


Action = Rest | Stage | Rehearse | Switch | Start | Prove | Settle | Revert | Recover | Accept


def wanted(seen: Observation) -> int | None:
    """The newest release that has not failed here; without an answer from the store, the one that is there."""
    fitting = (number for number in seen.offered if not _given_up(seen, number))
    return next(fitting, seen.current if seen.current is not None else seen.journal.live)


def _given_up(seen: Observation, number: int) -> bool:
    failure = seen.journal.failure(number)
    if failure is None:
        return False
    return (failure.lasting and seen.journal.live is not None) or seen.now - failure.at < TRY_AGAIN


def decide(seen: Observation) -> Action:
    if seen.journal.trial is not None:
        return _in_trial(seen)
    target = wanted(seen)
    if target is None:
        return Rest()
    if target not in seen.staged:
        # Without an offer there is nothing to stage it from: a damaged release is better served than none.
        # Nor is it staged anew under processes that are serving it.
        able = target in seen.offered and not _given_up(seen, target) and not (target == seen.current and seen.running)
        return Stage(target) if able else _keep_serving(seen)
    if seen.current == target and (seen.journal.live == target or _given_up(seen, target)):
        return _keep_serving(seen)
    if target not in seen.rehearsed:
        return Rehearse(target)
    return Switch(target)


def _in_trial(seen: Observation) -> Action:
    trial = seen.journal.trial
    assert trial is not None
    if not seen.conducting:
        return Recover()
    if seen.refused is not None:
        return Revert(seen.refused)
    if seen.proof is not None:
        if seen.proof.holds:
            return Settle()
        if seen.proof.broken is not None:
            return Revert(str(seen.proof))
    if seen.now >= trial.until:
        return Revert(f"it was not proven to serve in time: {seen.proof or 'the web server did not answer'}")
    return Prove(trial.release) if seen.running else Start()


def _keep_serving(seen: Observation) -> Action:
    if seen.current is None:
        return Rest()
    if not seen.running:
        return Start()
    if not seen.workers or not seen.workers <= seen.proven:
        return Prove(seen.current)
    return Rest() if seen.journal.live == seen.current else Accept(seen.current)
