"""What changes the inbox: push, remove, publish."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from da_agent.cli import inbox_changes, options, waiting
from da_agent.errors import AgentError, NotHere
from da_agent.wiring import Admin

if TYPE_CHECKING:
    from collections.abc import Callable

    from da_agent.cli.inbox_changes import InboxChange
    from da_agent.domain.store.inboxes import Verdict


@click.group()
def push() -> None:
    """Put a new configuration, certificates or packages into the cluster."""


@push.command()
@options.config_file
@options.waiting
@options.store
def config(file: Path, store: str | None, *, wait: bool, timeout: int) -> None:
    """Make FILE the configuration of every node."""
    _push(Admin(store=store), inbox_changes.config(file), wait, timeout)


@push.command()
@options.certificate_directory
@options.waiting
@options.store
def certs(directory: Path, store: str | None, *, wait: bool, timeout: int) -> None:
    """Install the certificates and keys of DIRECTORY on every node; other names stay as they are."""
    _push(Admin(store=store), inbox_changes.certificates(directory), wait, timeout)


@push.command()
@options.package_names
@options.waiting
@options.store
def package(packages: tuple[str, ...], store: str | None, *, wait: bool, timeout: int) -> None:
    """Install packages on every node: requirements such as "six>=1.16", or wheels, sdists and zips."""
    admin = Admin(store=store)
    _push(admin, inbox_changes.packages(admin, packages), wait, timeout)


@click.group()
def remove() -> None:
    """Remove a package from the cluster."""


@remove.command(name="package")
@click.argument("name")
@options.waiting
@options.store
def remove_package(name: str, store: str | None, *, wait: bool, timeout: int) -> None:
    """Uninstall the package NAME, and the dependencies that only it needed, on every node."""
    admin = Admin(store=store)
    _push(admin, inbox_changes.without(admin, name), wait, timeout)


@click.command()
@options.waiting
@options.store
def publish(store: str | None, *, wait: bool, timeout: int) -> None:
    """Make the next release from the inbox; when it is published already, restore blobs that the store has lost."""
    admin = Admin(store=store)
    admin.admit()
    _await(admin, lambda: admin.publisher.publish("published by command", mend=True), wait, timeout)


def _push(admin: Admin, edit: InboxChange, wait: bool, timeout: int) -> None:
    admin.admit()
    _await(admin, lambda: admin.pushes.push(edit.change, edit.reason), wait, timeout)


def _await(admin: Admin, act: Callable[[], Verdict], wait: bool, timeout: int) -> None:
    """Say what became of it, and wait until the nodes have it."""
    from da_agent.workflows.admin import waits

    with waiting.leaving(f"interrupted; a node will publish what was already uploaded; {waiting.LOOK}"):
        verdict = _verdict(admin, act, wait, timeout)
    if verdict is None:
        return
    number = waits.release_of(verdict)
    admin.remember(number)
    options.say(f"The inbox is release {number}.")
    _warn(admin, number)
    waiting.for_verdict(admin, number, wait=wait, timeout=timeout)


def _warn(admin: Admin, number: int) -> None:
    # The release is made: a store that no longer answers must not look like a failure.
    with suppress(AgentError):
        why_no_https = admin.ledger.read(number).contents.why_no_https
        if why_no_https is not None:
            click.echo(f"{why_no_https}.", err=True)


def _verdict(admin: Admin, act: Callable[[], Verdict], wait: bool, timeout: int) -> Verdict | None:
    """None when a node publishes and the command does not wait."""
    from da_agent.workflows.admin import waits

    try:
        return act()
    except NotHere as elsewhere:
        options.say(f"Handing over to a node: {elsewhere}", err=True)
        if not wait:
            return None
        # Each says at once whether it can, and why not.
        admin.notifications.wake(admin.notifications.alive())
        return waits.until_published(
            admin.store, admin.inboxes, admin.reports, admin.clock, admin.progress, patience=timedelta(seconds=timeout)
        )
