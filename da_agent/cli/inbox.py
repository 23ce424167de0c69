"""What changes the inbox: push, remove, adopt."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from da_agent.cli import options, waiting, wishes
from da_agent.errors import NotHere
from da_agent.wiring import Machine

if TYPE_CHECKING:
    from collections.abc import Callable

    from da_agent.cli.wishes import Wish
    from da_agent.domain.inboxes import Verdict


@click.group()
def push() -> None:
    """Put a new configuration, certificates or packages into the cluster."""


@push.command()
@options.config_file
@options.waiting
@options.store
def config(file: Path, store: str | None, *, wait: bool, timeout: int) -> None:
    """Make FILE the configuration of every node."""
    _push(Machine(store=store), wishes.config(file), wait, timeout)


@push.command()
@options.certificate_directory
@options.waiting
@options.store
def certs(directory: Path, store: str | None, *, wait: bool, timeout: int) -> None:
    """Install the certificates and keys of DIRECTORY on every node; other names stay as they are."""
    _push(Machine(store=store), wishes.certificates(directory), wait, timeout)


@push.command()
@options.package_names
@options.waiting
@options.store
def package(packages: tuple[str, ...], store: str | None, *, wait: bool, timeout: int) -> None:
    """Install packages on every node: requirements such as "six>=1.16", or wheels, sdists and zips."""
    machine = Machine(store=store)
    _push(machine, wishes.packages(machine, packages), wait, timeout)


@click.group()
def remove() -> None:
    """Take something out of the cluster."""


@remove.command(name="package")
@click.argument("name")
@options.waiting
@options.store
def remove_package(name: str, store: str | None, *, wait: bool, timeout: int) -> None:
    """Uninstall the package NAME, and what only it needed, on every node."""
    machine = Machine(store=store)
    _push(machine, wishes.without(machine, name), wait, timeout)


@click.command()
@options.waiting
@options.store
def adopt(store: str | None, *, wait: bool, timeout: int) -> None:
    """Make the next release from what lies in the inbox; when that is one already, put back what the store has lost."""
    machine = Machine(store=store)
    machine.admit()
    _await(machine, lambda: machine.adoption.adopt("adopted by command", mend=True), wait, timeout)


def _push(machine: Machine, wish: Wish, wait: bool, timeout: int) -> None:
    machine.admit()
    _await(machine, lambda: machine.pushes.push(wish.change, wish.reason), wait, timeout)


def _await(machine: Machine, act: Callable[[], Verdict], wait: bool, timeout: int) -> None:
    """Say what became of it, and wait until the nodes have it."""
    from da_agent.workflows import waits

    with waiting.leaving(f"given up half-way: whatever has come into the inbox is adopted by a node; {waiting.LOOK}"):
        verdict = _verdict(machine, act, wait, timeout)
    if verdict is None:
        return
    number = waits.release_of(verdict)
    click.echo(f"The inbox is release {number}.")
    waiting.for_verdict(machine, number, wait=wait, timeout=timeout)


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
