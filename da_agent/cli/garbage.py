"""Room in the store and on this node's disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from da_agent.cli import options
from da_agent.errors import Corrupt
from da_agent.wiring import NodeAgent

if TYPE_CHECKING:
    from da_agent.workflows.upkeep.garbage import Collected, Freed


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@options.as_json
@options.store
def gc(store: str | None, *, dry_run: bool, as_json: bool) -> None:
    """Remove releases and blobs that no node needs, from the store and, on a node, from its disk.

    The newest releases stay, those that nodes serve and the ones before them, and whatever is younger than a day.
    While a record cannot be read, what it may need stays: this ends with exit code 10 and names the record.
    """
    from da_agent.views import outputs, removals

    machine = NodeAgent(store=store)
    machine.recognise()
    found: Collected | None = None

    def tell(gone: Collected) -> None:
        # At once, and kept: what comes behind it may fail, and so may the rest of it.
        nonlocal found
        found = gone
        if not as_json:
            _echo(removals.store_lines(removals.store(gone), dry_run=dry_run))

    here: Freed | None = None
    try:
        planned = machine.collect(dry_run=dry_run, tell=tell)
        if dry_run:
            tell(planned)
        here = machine.clear(dry_run=dry_run) if machine.is_node else None
    finally:
        if as_json and found is not None:
            options.say(outputs.json(removals.of(found, here, dry_run=dry_run)))
    if here is not None and not as_json:
        _echo(removals.this_node_lines(removals.this_node(here), dry_run=dry_run))
    if planned.problems:
        raise Corrupt("\n".join(planned.problems))


def _echo(lines: list[str]) -> None:
    options.say("\n".join(lines))
