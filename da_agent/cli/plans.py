"""What a push would do, before anything is pushed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from da_agent.cli import inbox_changes, options
from da_agent.wiring import Admin

if TYPE_CHECKING:
    from da_agent.workflows.publish.plans import Plan


@click.group(invoke_without_command=True)
@options.as_json
@options.store
@click.pass_context
def plan(context: click.Context, store: str | None, *, as_json: bool) -> None:
    """Show what a push would change, what each node would do and how long; alone: the same for the inbox."""
    if context.invoked_subcommand is None:
        _tell(_admin(store).plans.publish(), as_json)


@plan.command()
@options.config_file
@options.as_json
@options.store
def config(file: Path, store: str | None, *, as_json: bool) -> None:
    """Show what pushing FILE as the configuration would do."""
    _tell(_admin(store).plans.push(inbox_changes.config(file).change), as_json)


@plan.command()
@options.certificate_directory
@options.as_json
@options.store
def certs(directory: Path, store: str | None, *, as_json: bool) -> None:
    """Show what pushing the certificates and keys of DIRECTORY would do."""
    _tell(_admin(store).plans.push(inbox_changes.certificates(directory).change), as_json)


@plan.command()
@options.package_names
@options.as_json
@options.store
def package(packages: tuple[str, ...], store: str | None, *, as_json: bool) -> None:
    """Show what pushing packages would do."""
    admin = _admin(store)
    _tell(admin.plans.push(inbox_changes.packages(admin, packages).change), as_json)


def _admin(store: str | None) -> Admin:
    admin = Admin(store=store)
    admin.recognise()
    return admin


def _tell(found: Plan, as_json: bool) -> None:
    from da_agent.views import plans

    options.echo(plans.of(found), plans.lines, as_json=as_json)
