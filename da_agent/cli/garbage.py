"""Room in the store and on this node's disk."""

import click

from da_agent.cli import options
from da_agent.wiring import Machine


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@options.as_json
@options.store
def gc(store: str | None, *, dry_run: bool, as_json: bool) -> None:
    """Remove releases and blobs that no node needs, from the store and, on a node, from its disk.

    The newest releases stay, those that nodes serve and the ones before them, and whatever is younger than a day.
    """
    from da_agent.workflows import garbage

    machine = Machine(store=store)
    found = garbage.collect(machine.store, dry_run=dry_run)
    here = machine.clear(dry_run=dry_run) if machine.is_node else None
    if as_json:
        options.echo_json({"store": found, "here": here})
        return
    verb = "would be removed" if dry_run else "removed"
    click.echo(f"Store: {len(found.releases)} releases and {len(found.blobs)} blobs {verb}, {found.size} bytes")
    for number in found.releases:
        click.echo(f"  release {number}")
    if here is not None:
        click.echo(f"This node: {len(here.releases)} releases and {len(here.blobs)} blobs {verb}")
        for number in here.releases:
            click.echo(f"  release {number}")
