"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
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


config_file = click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
certificate_directory = click.argument("directory", type=click.Path(path_type=Path, file_okay=False, exists=True))
package_names = click.argument("packages", nargs=-1, required=True, metavar="SPEC|FILE...")


def waiting(command: F) -> F:
    command = click.option(
        "--timeout", default=600, show_default=True, metavar="SECONDS", help="How long to wait for the verdict."
    )(command)
    return click.option("--wait/--no-wait", default=True, help="Wait for the verdict.")(command)
