"""What only looks: status, why, history, show and diff."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from da_agent.cli import options
from da_agent.errors import Interrupted
from da_agent.wiring import Admin, NodeAgent

if TYPE_CHECKING:
    from da_agent.workflows.admin.statuses import Here


@click.command()
@click.option("--watch", is_flag=True, help="Show the rollout until there is a verdict: exit code 0 stable, 14 not.")
@options.as_json
@options.store
def status(store: str | None, *, watch: bool, as_json: bool) -> None:
    """This node, the newest release and its rollout, the inbox and why it was refused, and the other nodes."""
    if watch and as_json:
        raise click.UsageError("--watch and --json do not go together")
    machine = NodeAgent(store=store)
    if store is not None:
        # A mistyped URL is an error, not a cluster that does not answer.
        _ = machine.location
    if watch:
        _watch(machine)
        return
    from da_agent.views import clusters
    from da_agent.workflows.admin import statuses

    shown = clusters.of(statuses.status(_here(machine), machine.cluster))
    options.echo(shown, clusters.lines, as_json=as_json)


@click.command()
@click.argument("node")
@options.as_json
@options.store
def why(store: str | None, node: str, *, as_json: bool) -> None:
    """Why NODE runs what it runs: what it waits for, which nodes hold the slots, what failed, what comes next."""
    from da_agent.views import nodes
    from da_agent.workflows.admin import statuses

    admin = Admin(store=store)
    shown = nodes.why(node, statuses.explain(admin.cluster(), node))
    options.echo(shown, nodes.why_lines, as_json=as_json)


@click.command()
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="How many of the newest releases.")
@options.as_json
@options.store
def history(store: str | None, limit: int, *, as_json: bool) -> None:
    """The releases, newest first."""
    from da_agent.views import releases
    from da_agent.workflows.admin import statuses

    shown = releases.history(statuses.history(Admin(store=store).ledger, limit))
    options.echo(shown, releases.history_lines, as_json=as_json)


@click.command()
@click.argument("number", type=click.IntRange(1), required=False)
@options.as_json
@options.store
def show(store: str | None, number: int | None, *, as_json: bool) -> None:
    """What release NUMBER holds, or the newest: configuration with secrets masked, certificates, packages."""
    from da_agent.views import contents
    from da_agent.workflows.records import inspections

    admin = Admin(store=store)
    shown = contents.of(inspections.show(admin.ledger, number, admin.store.clock))
    options.echo(shown, contents.lines, as_json=as_json)


@click.command()
@click.argument("before", type=click.IntRange(1))
@click.argument("after", type=click.IntRange(1), required=False)
@options.as_json
@options.store
def diff(store: str | None, before: int, after: int | None, *, as_json: bool) -> None:
    """Show what changed from release BEFORE to release AFTER, or to the newest. Secrets are masked."""
    from da_agent.views import differences
    from da_agent.workflows.records import inspections

    admin = Admin(store=store)
    shown = differences.of(inspections.diff(admin.ledger, before, after, admin.store.clock))
    options.echo(shown, differences.lines, as_json=as_json)


def _watch(admin: Admin) -> None:
    from da_agent.workflows.admin import watchings

    try:
        with admin.board.shown() as show:
            verdict = watchings.until_verdict(
                admin.store, admin.ledger, admin.rollouts, admin.reports, clock=admin.clock, show=show
            )
    except KeyboardInterrupt:
        raise Interrupted("stopped watching; the rollout continues") from None
    options.say(f"{verdict[0].upper()}{verdict[1:]}.")


def _here(machine: NodeAgent) -> Here | None:
    if not machine.is_node:
        return None
    from da_agent.domain.node.node_states import NodeState
    from da_agent.workflows.admin.statuses import Here

    current = machine.installation.current()
    node_state = machine.node_states.load() or NodeState(live=current)
    return Here(machine.name, str(machine.paths.root), current, node_state, machine.last_contact.last())
