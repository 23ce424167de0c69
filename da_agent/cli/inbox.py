"""What changes the inbox: push, remove, adopt."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from da_agent.cli import options
from da_agent.domain import keys
from da_agent.errors import Absent, NotHere, Refused, TimedOut
from da_agent.wiring import Machine

if TYPE_CHECKING:
    from collections.abc import Callable

    from da_agent.domain.inboxes import Inbox, Verdict
    from da_agent.workflows import pushes

_LOOK = "da-agent status shows how far they are"
SUFFIXES = (".whl", ".tar.gz", ".zip")


@click.group()
def push() -> None:
    """Put a new configuration, certificates or packages into the cluster."""


@push.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@options.waiting
@options.store
def config(file: Path, store: str | None, *, wait: bool, timeout: int) -> None:
    """Make FILE the configuration of every node."""
    from da_agent.workflows import pushes

    data = _read(file)
    _push(Machine(store=store), lambda _: pushes.config(data), f"configuration from {file.name}", wait, timeout)


@push.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False, exists=True))
@options.waiting
@options.store
def certs(directory: Path, store: str | None, *, wait: bool, timeout: int) -> None:
    """Install the certificates and keys of DIRECTORY on every node; other names stay as they are."""
    from da_agent.workflows import pushes

    found = {
        path.relative_to(directory).as_posix(): _read(path)
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }
    if not found:
        raise Refused(f"there are no files in {directory}: nothing to push")
    _push(Machine(store=store), lambda _: pushes.certificates(found), f"certificates {', '.join(found)}", wait, timeout)


@push.command()
@click.argument("packages", nargs=-1, required=True, metavar="SPEC|FILE...")
@options.waiting
@options.store
def package(packages: tuple[str, ...], store: str | None, *, wait: bool, timeout: int) -> None:
    """Install packages on every node: requirements such as "six>=1.16", or wheels, sdists and zips."""
    from da_agent.workflows import pushes

    machine = Machine(store=store)
    files = {Path(each).name: Path(each) for each in packages if each.endswith(SUFFIXES)}
    missing = [str(path) for path in files.values() if not path.is_file()]
    if missing:
        raise Refused(f"there is no such file: {path}" for path in missing)
    specs = tuple(each for each in packages if not each.endswith(SUFFIXES))
    _push(
        machine,
        lambda inbox: pushes.packages(inbox, _requirements(machine), specs, files),
        f"packages {', '.join((*specs, *files))}",
        wait,
        timeout,
    )


@click.group()
def remove() -> None:
    """Take something out of the cluster."""


@remove.command(name="package")
@click.argument("name")
@options.waiting
@options.store
def remove_package(name: str, store: str | None, *, wait: bool, timeout: int) -> None:
    """Uninstall the package NAME, and what only it needed, on every node."""
    from da_agent.workflows import pushes

    machine = Machine(store=store)
    _push(
        machine,
        lambda inbox: pushes.without(inbox, _requirements(machine), name),
        f"without package {name}",
        wait,
        timeout,
    )


@click.command()
@options.waiting
@options.store
def adopt(store: str | None, *, wait: bool, timeout: int) -> None:
    """Make the next release from what lies in the inbox."""
    machine = Machine(store=store)
    machine.admit()
    _await(machine, lambda: machine.adoption.adopt("adopted by command"), wait, timeout)


def _push(machine: Machine, change: Callable[[Inbox], pushes.Change], reason: str, wait: bool, timeout: int) -> None:
    machine.admit()
    _await(machine, lambda: machine.pushes.push(change, reason), wait, timeout)


def _await(machine: Machine, act: Callable[[], Verdict], wait: bool, timeout: int) -> None:
    """Say what became of it, and wait until the nodes have it."""
    from da_agent.workflows import waits

    try:
        verdict = _verdict(machine, act, wait, timeout)
    except KeyboardInterrupt:
        raise TimedOut(f"given up half-way: whatever has come into the inbox is adopted by a node; {_LOOK}") from None
    if verdict is None:
        return
    number = waits.release_of(verdict)
    click.echo(f"The inbox is release {number}.")
    if not wait:
        return
    try:
        _await_nodes(machine, number, timeout)
    except KeyboardInterrupt:
        raise TimedOut(f"not waited for any longer: the nodes take release {number} all the same; {_LOOK}") from None


def _verdict(machine: Machine, act: Callable[[], Verdict], wait: bool, timeout: int) -> Verdict | None:
    """None when it is left to a node and nobody waits."""
    from da_agent.workflows import waits

    try:
        return act()
    except NotHere as elsewhere:
        click.echo(f"Left to a node of the cluster: {elsewhere}", err=True)
        if not wait:
            return None
        return waits.until_adopted(machine.store, machine.clock, machine.progress, timedelta(seconds=timeout))


def _await_nodes(machine: Machine, number: int, timeout: int) -> None:
    from da_agent.workflows import waits

    nodes = waits.until_served(machine.store, machine.clock, machine.progress, number, timedelta(seconds=timeout))
    if nodes:
        click.echo(f"Served by {len(nodes)} nodes: {', '.join(each.report.node for each in nodes)}.")
    else:
        click.echo("No node is alive now; each will take it when it starts.")


def _requirements(machine: Machine) -> bytes:
    try:
        return machine.store.read(keys.REQUIREMENTS).data
    except Absent:
        return b""


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Refused(f"cannot read {path}: {error.strerror}") from error
