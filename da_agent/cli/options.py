"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from da_agent.views.outputs import Output

    Shown = TypeVar("Shown", bound=Output)

F = TypeVar("F", bound=Callable[..., Any])


def store(command: F) -> F:
    return click.option("--store", metavar="URL", help="The cluster's store; DA_AGENT_STORE when it is not given.")(
        command
    )


def echo(shown: Shown, lines: Callable[[Shown], list[str]], *, as_json: bool) -> None:
    """Print what is shown, as JSON or as `lines` make it."""
    from da_agent.views import outputs

    click.echo(outputs.json(shown) if as_json else "\n".join(lines(shown)))


def as_json(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


config_file = click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
certificate_directory = click.argument("directory", type=click.Path(path_type=Path, file_okay=False, exists=True))
package_names = click.argument("packages", nargs=-1, required=True, metavar="SPEC|FILE...")


def waiting(command: F) -> F:
    command = click.option(
        "--timeout", default=600, show_default=True, metavar="SECONDS", help="How long to wait for the verdict."
    )(command)
    return click.option("--wait/--no-wait", default=True, help="Wait for the verdict.")(command)
