"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from da_agent.domain import texts

if TYPE_CHECKING:
    from da_agent.views.outputs import Output

    Shown = TypeVar("Shown", bound=Output)

F = TypeVar("F", bound=Callable[..., Any])


def _utf_8(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    try:
        return None if value is None else value.encode().decode()
    except UnicodeEncodeError:
        raise click.BadParameter("it is not UTF-8 text") from None


def reason(usage: str, *, default: str | None = None, required: bool = False) -> Callable[[F], F]:
    """A text for the records, which are UTF-8."""
    return click.option("--reason", metavar="TEXT", default=default, required=required, callback=_utf_8, help=usage)


def store(command: F) -> F:
    return click.option("--store", metavar="URL", help="The cluster's store; DA_AGENT_STORE when it is not given.")(
        command
    )


def echo(shown: Shown, lines: Callable[[Shown], list[str]], *, as_json: bool) -> None:
    """Print what is shown, as JSON or as `lines` make it."""
    from da_agent.views import outputs

    say(outputs.json(shown) if as_json else "\n".join(lines(shown)))


def say(text: str, *, err: bool = False) -> None:
    """Print lines; what a terminal would obey in them is escaped."""
    click.echo(texts.shown(text), err=err)


def as_json(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


MOST_SECONDS = 366 * 24 * 3600
"""The longest time-out: a longer one is a mistake."""

config_file = click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
certificate_directory = click.argument("directory", type=click.Path(path_type=Path, file_okay=False, exists=True))
package_names = click.argument("packages", nargs=-1, required=True, metavar="SPEC|FILE...")


def waiting(command: F) -> F:
    command = click.option(
        "--timeout",
        default=600,
        show_default=True,
        type=click.IntRange(0, MOST_SECONDS),
        metavar="SECONDS",
        help="How long to wait for the verdict.",
    )(command)
    return click.option("--wait/--no-wait", default=True, help="Wait for the verdict.")(command)
