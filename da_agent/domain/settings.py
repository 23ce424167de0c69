"""The `da agent` section of config.yml: the same on every node, because it is part of the release."""

from dataclasses import dataclass
from datetime import timedelta
from keyword import iskeyword


@dataclass(frozen=True, slots=True)
class Settings:
    """What the section says, with defaults.

    poll_interval   how often a node looks for a new release (seconds in the file)
    quiet_period    how long nobody must have written to the inbox before it is adopted (seconds)
    start_timeout   how long the web server may take to prove that it serves a release (seconds)
    application     `MODULE:CALLABLE` of the WSGI application; None for docassemble's own, where installed
    processes, threads   of the web server, per node
    """

    poll_interval: timedelta = timedelta(seconds=10)
    quiet_period: timedelta = timedelta(seconds=3)
    start_timeout: timedelta = timedelta(seconds=120)
    application: str | None = None
    processes: int = 2
    threads: int = 8


def names_application(text: str) -> bool:
    """Whether `text` is a `MODULE:CALLABLE` that Python could import; it becomes part of the loader."""
    module, colon, callable_ = text.partition(":")
    names = [*module.split("."), callable_]
    return bool(colon) and all(name.isidentifier() and not iskeyword(name) for name in names)
