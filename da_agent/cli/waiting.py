"""Waiting for the verdict on a release, and leaving when somebody has waited enough."""

from datetime import timedelta

import click

from da_agent.errors import TimedOut
from da_agent.wiring import Machine

LOOK = "da-agent status shows how far they are"


def for_verdict(machine: Machine, number: int, timeout: int) -> None:
    """Say where it is served; Quarantined and TimedOut with the reason. Ctrl-C ends the waiting alone."""
    from da_agent.workflows import waits

    patience = timedelta(seconds=timeout)
    try:
        found = waits.until_proven(
            machine.store, machine.rollouts, machine.clock, machine.progress, number, patience=patience
        )
    except KeyboardInterrupt:
        raise TimedOut(f"not waited for any longer: the nodes take release {number} all the same; {LOOK}") from None
    if not found.nodes:
        click.echo("No node is alive now; each will take it when it starts.")
        return
    count = "1 node" if len(found.nodes) == 1 else f"{len(found.nodes)} nodes"
    click.echo(f"Release {found.release} is proven: served by {count}: {', '.join(found.nodes)}.")
    for node, reason in found.without.items():
        click.echo(f"Not by {node}: {reason}", err=True)
