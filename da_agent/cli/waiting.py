"""Waiting for the verdict on a release, until Ctrl-C or the time-out."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from da_agent.cli import options
from da_agent.errors import Interrupted
from da_agent.wiring import Admin

LOOK = "da-agent status shows the progress"


@contextmanager
def leaving(sentence: str) -> Iterator[None]:
    """Ctrl-C ends the command with `sentence`, which says what goes on all the same."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(sentence) from None


def for_verdict(admin: Admin, number: int, *, wait: bool, timeout: int) -> None:
    """Say what holds the release up and, with `wait`, which nodes serve it in the end.

    Quarantined, TimedOut and others with the reason. Ctrl-C ends the waiting alone.
    """
    from da_agent.workflows.admin import waits

    with leaving(f"stopped waiting; the rollout of release {number} continues; {LOOK}"):
        # The release is there: a store that is silent now is asked again below.
        with suppress(*waits.SILENCES):
            pause = waits.pause(admin.rollouts, number)
            if pause is not None:
                options.say(f"{pause}.", err=True)
        if not wait:
            return
        found = waits.until_stable(
            admin.store,
            admin.ledger,
            admin.rollouts,
            admin.reports,
            number,
            clock=admin.clock,
            progress=admin.progress,
            patience=timedelta(seconds=timeout),
        )
    count = "1 node" if len(found.nodes) == 1 else f"{len(found.nodes)} nodes"
    options.say(f"Release {found.release} is stable: served by {count}: {', '.join(found.nodes)}.")
    for node, reason in found.without.items():
        options.say(f"Not served by {node}: {reason}", err=True)
