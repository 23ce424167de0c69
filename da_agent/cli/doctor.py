"""Whether a store is fit for a cluster."""

import secrets
import sys

import click

from da_agent.cli import options
from da_agent.wiring import Admin


@click.group()
def doctor() -> None:
    """Examine what the cluster depends on."""


@doctor.command(name="store")
@options.as_json
@options.store
def examine_store(store: str | None, *, as_json: bool) -> None:
    """Examine the store: exit code 0 when it is fit for a cluster, 1 when it is not."""
    from da_agent.views import conformances
    from da_agent.workflows.upkeep.conformance import examine

    admin = Admin(store=store)
    result = examine(admin.store, admin.race, secrets.token_hex(8))
    admin.conformances.save(result)
    options.echo(conformances.of(result), conformances.lines, as_json=as_json)
    sys.exit(0 if result.fit else 1)
