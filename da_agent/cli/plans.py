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
    """What a push would change, what each node would do, how long it would take; alone: what lies in the inbox."""
    if context.invoked_subcommand is None:
        _tell(_admin(store).plans.publish(), as_json)


@plan.command()
@options.config_file
@options.as_json
@options.store
def config(file: Path, store: str | None, *, as_json: bool) -> None:
    """What it would do to make FILE the configuration of every node."""
    _tell(_admin(store).plans.push(inbox_changes.config(file).change), as_json)


@plan.command()
@options.certificate_directory
@options.as_json
@options.store
def certs(directory: Path, store: str | None, *, as_json: bool) -> None:
    """What it would do to install the certificates and keys of DIRECTORY."""
    _tell(_admin(store).plans.push(inbox_changes.certificates(directory).change), as_json)


@plan.command()
@options.package_names
@options.as_json
@options.store
def package(packages: tuple[str, ...], store: str | None, *, as_json: bool) -> None:
    """What it would do to install packages."""
    admin = _admin(store)
    _tell(admin.plans.push(inbox_changes.packages(admin, packages).change), as_json)


def _admin(store: str | None) -> Admin:
    admin = Admin(store=store)
    admin.recognise()
    return admin


def _tell(found: Plan, as_json: bool) -> None:
    if as_json:
        options.echo_json(found)
    elif found.release is None:
        click.echo(_nothing(found))
    else:
        click.echo("\n".join(_lines(found)))


def _nothing(found: Plan) -> str:
    same = f"Nothing would change: release {found.before} is what there would be"
    if found.quarantine is None:
        return f"{same}."
    return f"{same}. But {found.quarantine}; da-agent retry {found.before} lets them try it again."


def _lines(found: Plan) -> list[str]:
    before = f"release {found.before}" if found.before else "nothing"
    lines = [f"From {before} to release {found.release}; nothing is pushed by this."]
    if found.quarantine is not None:
        lines.append(f"Compared with what is served: {found.quarantine}")
    changes = (
        ("Configuration", found.configuration, "setting", "settings"),
        ("Certificates", found.certificates, "file", "files"),
        ("Packages", found.packages, "package", "packages"),
    )
    for title, each, one, many in changes:
        lines.append(f"{title}: {len(each)} {one if len(each) == 1 else many}" if each else f"{title}: the same")
        lines += [f"  {change}" for change in each]
    lines.append(f"Each node: {'; '.join(found.needs) or 'nothing, no process is touched'}")
    lines += [f"Once, before the first node: {command}" for command in found.release_command]
    return lines + _rollout_lines(found)


def _rollout_lines(found: Plan) -> list[str]:
    rollout = found.rollout
    if rollout is None or rollout.live == 0:
        return ["Nodes: none is alive; each would take it when it starts."]
    canary = f", after {rollout.canary} alone" if rollout.canary else ", without a canary"
    lines = [
        f"Nodes: {rollout.live} alive, {rollout.at_a_time} at a time{canary}",
        f"Capacity: {rollout.capacity} of {rollout.live} nodes serve at any moment",
        f"Time: {rollout.duration}",
    ]
    if found.paused is not None:
        lines.append(f"Paused by {found.paused.by}: {found.paused.reason}; no node moves before da-agent resume")
    return lines
