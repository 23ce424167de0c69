"""Room in the store and on this node's disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from da_agent.cli import options
from da_agent.errors import AgentError
from da_agent.wiring import NodeAgent

if TYPE_CHECKING:
    from da_agent.workflows.upkeep.garbage import Collected


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@options.as_json
@options.store
def gc(store: str | None, *, dry_run: bool, as_json: bool) -> None:
    """Remove releases and blobs that no node needs, from the store and, on a node, from its disk.

    The newest releases stay, those that nodes serve and the ones before them, and whatever is younger than a day.
    """
    machine = NodeAgent(store=store)
    machine.recognise()
    verb = "would be removed" if dry_run else "removed"
    found: Collected | None = None

    def tell(gone: Collected) -> None:
        # At once, and kept: what comes behind it may fail, and so may the rest of it.
        nonlocal found
        found = gone
        if not as_json:
            _tell_store(gone, verb)

    try:
        planned = machine.collect(dry_run=dry_run, tell=tell)
        if dry_run:
            tell(planned)
        here = machine.clear(dry_run=dry_run) if machine.is_node else None
    except AgentError:
        if as_json and found is not None:
            options.echo_json({"store": found, "here": None})
        raise
    if as_json:
        options.echo_json({"store": found, "here": here})
    elif here is not None:
        click.echo(f"This node: {len(here.releases)} releases and {len(here.blobs)} blobs {verb}")
        _tell_releases(here.releases)


def _tell_store(found: Collected, verb: str) -> None:
    click.echo(f"Store: {len(found.releases)} releases and {len(found.blobs)} blobs {verb}, {found.size} bytes")
    _tell_releases(found.releases)
    for node in found.nodes:
        click.echo(f"  the report of {node}, silent for a month")


def _tell_releases(numbers: tuple[int, ...]) -> None:
    for number in numbers:
        click.echo(f"  release {number}")
