"""What only looks: status, why, history, show and diff."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from da_agent.cli import options
from da_agent.domain import units
from da_agent.errors import Interrupted
from da_agent.wiring import Admin, NodeAgent

if TYPE_CHECKING:
    from datetime import datetime

    from da_agent.domain.node.reports import NodeStatus
    from da_agent.domain.release.releases import Release
    from da_agent.workflows.admin.statuses import Here, Status, There


@click.command()
@click.option("--watch", is_flag=True, help="Show the rollout until there is a verdict: exit code 0 stable, 14 not.")
@options.as_json
@options.store
def status(store: str | None, *, watch: bool, as_json: bool) -> None:
    """This node, the newest release and its rollout, the inbox and why it was refused, and the other nodes."""
    from da_agent.workflows.admin import statuses

    machine = NodeAgent(store=store)
    if watch:
        if as_json:
            raise click.UsageError("--watch and --json do not go together")
        _watch(machine)
        return
    found = statuses.status(_here(machine), machine.cluster)
    if as_json:
        options.echo_json(found)
    else:
        click.echo("\n".join(_lines(found)))


@click.command()
@click.argument("node")
@options.as_json
@options.store
def why(store: str | None, node: str, *, as_json: bool) -> None:
    """Why NODE runs what it runs: what it waits for, which nodes hold the slots, what failed, what comes next."""
    from da_agent.workflows.admin import statuses

    admin = Admin(store=store)
    text = statuses.explain(admin.cluster(), node)
    if as_json:
        options.echo_json({"node": node, "why": text})
    else:
        click.echo(text)


@click.command()
@click.option("--limit", default=20, show_default=True, help="How many of the newest releases.")
@options.as_json
@options.store
def history(store: str | None, limit: int, *, as_json: bool) -> None:
    """The releases, newest first."""
    from da_agent.workflows.admin import statuses

    releases = statuses.history(Admin(store=store).ledger, limit)
    if as_json:
        options.echo_json(releases)
        return
    for release in releases:
        click.echo(f"{release.number:>6}  {units.time(release.published_at)}  {_contents(release)}  {release.reason}")
    if not releases:
        click.echo("There is no release yet.")


@click.command()
@click.argument("number", type=click.IntRange(1), required=False)
@options.as_json
@options.store
def show(store: str | None, number: int | None, *, as_json: bool) -> None:
    """What release NUMBER holds, or the newest: configuration with secrets masked, certificates, packages."""
    from da_agent.workflows.records import inspections

    admin = Admin(store=store)
    found = inspections.show(admin.ledger, number, admin.store.clock)
    if as_json:
        options.echo_json(found)
        return
    click.echo(
        f"Release {found.number}, published {units.time(found.published_at)} by {found.publisher} ({found.reason})"
    )
    for title, values in (
        ("Configuration", found.settings),
        ("Certificates", found.certificates),
        ("Packages", found.packages),
    ):
        click.echo(f"{title}:" if values else f"{title}: none")
        for name, value in values.items():
            click.echo(f"  {name}: {value}")


@click.command()
@click.argument("before", type=click.IntRange(1))
@click.argument("after", type=click.IntRange(1), required=False)
@options.as_json
@options.store
def diff(store: str | None, before: int, after: int | None, *, as_json: bool) -> None:
    """What changed from release BEFORE to release AFTER, or to the newest. Secrets are masked."""
    from da_agent.workflows.records import inspections

    admin = Admin(store=store)
    found = inspections.diff(admin.ledger, before, after, admin.store.clock)
    if as_json:
        options.echo_json(found)
        return
    changes = (
        ("Configuration", found.configuration),
        ("Certificates", found.certificates),
        ("Packages", found.packages),
    )
    click.echo(f"From release {found.before} to release {found.after}:")
    for title, each in changes:
        click.echo(f"{title}:" if each else f"{title}: the same")
        for change in each:
            click.echo(f"  {change}")


def _watch(admin: Admin) -> None:
    from da_agent.workflows.admin import watchings

    try:
        with admin.board.shown() as show:
            verdict = watchings.until_verdict(
                admin.store, admin.ledger, admin.rollouts, admin.reports, clock=admin.clock, show=show
            )
    except KeyboardInterrupt:
        raise Interrupted("stopped watching; the rollout continues") from None
    click.echo(f"{verdict[0].upper()}{verdict[1:]}.")


def _here(machine: NodeAgent) -> Here | None:
    if not machine.is_node:
        return None
    from da_agent.domain.node.node_states import NodeState
    from da_agent.workflows.admin.statuses import Here

    current = machine.installation.current()
    node_state = machine.node_states.load() or NodeState(live=current)
    return Here(machine.name, str(machine.paths.root), current, node_state, machine.last_contact.last())


def _lines(found: Status) -> list[str]:
    lines = []
    if found.here is not None:
        lines += _here_lines(found.here)
    if found.there is None:
        return [*lines, f"The cluster is not known: {found.unknown}"]
    return lines + _there_lines(found.there)


def _here_lines(here: Here) -> list[str]:
    lines = [f"This node: {here.node}, release {here.release or 'none'}, below {here.root}"]
    lines.append(f"  last answer of the store: {units.time(here.heard) if here.heard else 'never'}")
    if here.node_state.probation is not None:
        lines.append(f"  in a probation of release {here.node_state.probation.release}")
    return lines + [f"  {each}" for each in here.node_state.rejected[-3:]]


def _there_lines(there: There) -> list[str]:
    from da_agent.domain.display import rollout_text

    lines = [f"Store: {there.store}, asked at {units.time(there.at)}"]
    if there.head is None:
        lines.append("Release: none yet")
    else:
        again = f", a rollback to {there.head.rollback_of}" if there.head.rollback_of is not None else ""
        again += ", a restart" if there.head.restart else ""
        lines.append(
            f"Release: {there.head.number}{again}, {_contents(there.head)},"
            f" published {units.time(there.head.published_at)}"
            f" by {there.head.publisher} ({there.head.reason})"
        )
    if there.pending:
        lines.append("Inbox: changed, and not published yet")
    elif there.verdict is not None and there.verdict.mistakes:
        lines.append(f"Inbox: refused {units.time(there.verdict.at)} by {there.verdict.by}:")
        lines += [f"  {mistake}" for mistake in there.verdict.mistakes]
    elif there.verdict is not None:
        rollback = there.head.rollback_of if there.head is not None else None
        newer = (
            "" if rollback is None else "; the newest release is a rollback, and the next push starts from the inbox"
        )
        lines.append(f"Inbox: is release {there.verdict.release}{newer}")
    if there.rollout is not None:
        lines += rollout_text.lines(there.rollout, there.live, now=there.at)
    left = sum(each.has_left for each in there.nodes)
    lines.append(f"Nodes: {len(there.nodes) - left}" + (f", and {left} left" if left else ""))
    lines += [_node(each, there.at) for each in sorted(there.nodes, key=lambda each: each.report.node)]
    return lines + [f"  {each}" for each in there.twins]


def _node(seen: NodeStatus, now: datetime) -> str:
    from da_agent.domain.node.reports import SILENT

    report = seen.report
    age = max(0, round((now - seen.at).total_seconds()))
    silent = seen.silent(now, SILENT) and not seen.has_left
    state = f"silent for {age} s" if silent else f"{report.phase.value}, {age} s ago"
    problem = f": {report.problem}" if report.problem else ""
    if report.activity:
        state += f" ({report.activity})"
    return f"  {report.node:<20} release {report.release or 'none':<6} {report.address:<22} {state}{problem}"


def _contents(release: Release) -> str:
    contents = release.contents
    packages = "1 package" if len(contents.wheels) == 1 else f"{len(contents.wheels)} packages"
    return f"{packages}, {len(contents.certificates)} certificate files"
