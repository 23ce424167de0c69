"""Options that several commands share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def store(command: F) -> F:
    return click.option("--store", metavar="URL", help="The cluster's store; DA_AGENT_STORE when it is not given.")(
        command
    )


def echo_json(value: object) -> None:
    """What --json prints."""
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value)).decode())


def as_json(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="For machines.")(command)


def waiting(command: F) -> F:
    command = click.option(
        "--timeout", default=600, show_default=True, metavar="SECONDS", help="How long to wait for the nodes."
    )(command)
    return click.option("--wait/--no-wait", default=True, help="Wait until every live node has it.")(command)
