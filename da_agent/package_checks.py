"""Whether the packages of an environment fit together, as uv or pip finds out in a process of the caller's choice."""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from da_agent.domain.packages import conflicts
from da_agent.processes import Outcome

Run = Callable[[Sequence[str | Path]], Outcome]
"""Runs a command to its end, as a user without rights: a look at an environment may run code of its packages."""


def complaint(uv: Path, python: Path, run: Run) -> str | None:
    """What is wrong with the packages beside `python`, as the end of a sentence about them; None when they fit."""
    ended = run([uv, "pip", "check", "--no-config", "--no-cache", "--offline", "--python", python])
    if ended.well:
        return None
    found = conflicts.of_uv(ended.lines)
    return _unfit(found) if found else _complaint_of_pip(python, run, _last(ended))


def _complaint_of_pip(python: Path, run: Run, said: str) -> str | None:
    """The same by pip: uv cannot ask a Python that prints when it starts, as a .pth file can make it.

    `said` is what uv has said.
    """
    if importlib.util.find_spec("pip") is None:
        return f"cannot be checked: {said}"
    ended = run([sys.executable, "-I", "-m", "pip", "--python", python, "--no-input", "check"])
    found = conflicts.of_pip(ended.lines)
    if found:
        return _unfit(found)
    return None if ended.well else f"cannot be checked: {said}; {_last(ended)}"


def _unfit(found: Sequence[str]) -> str:
    return f"do not fit together: {'; '.join(found)}"


def _last(ended: Outcome) -> str:
    return ended.lines[-1] if ended.lines else "it printed nothing"
