"""Unchecked wheels and sources, read by a process that has limits and no rights."""

import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from enum import Enum
from importlib import resources
from pathlib import Path
from typing import Any

from da_agent import processes
from da_agent.domain import limits
from da_agent.domain.packages.listings import Listing, Member
from da_agent.errors import Invalid, NodeBroken
from da_agent.processes import Outcome

_AT_ONCE = 200
"""Archives that one process reads. It opens all of them first, and may open 1,024 files."""

_PATIENCE = 3 * limits.READER_SECONDS
"""Seconds: on a busy machine the process gets a part of the CPU."""

_NOBODY = 65534
"""The user id that owns nothing. It needs no entry in the list of users."""

_LIMITS = json.dumps({name: value for name, value in vars(limits).items() if isinstance(value, int)})


class Reading(Enum):
    """How an archive is read: the listing of a wheel, or also each of its bytes, or those of a source."""

    WHEEL = "wheel"
    WHOLE = "whole"
    SOURCE = "source"


def listings(paths: Sequence[Path], *, whole: bool = False) -> list[Listing]:
    """The listing of each wheel; Invalid with every wheel that no installer can use. `whole`: each byte is read."""
    kind = Reading.WHOLE if whole else Reading.WHEEL
    found = read([(kind, path) for path in paths])
    mistakes = [str(each) for each in found if isinstance(each, Invalid)]
    if mistakes:
        raise Invalid(mistakes)
    return [each for each in found if isinstance(each, Listing)]


def unpacked(paths: Sequence[Path]) -> list[list[int] | str]:
    """The sizes in bytes of the files in each wheel, or why no installer may have it."""
    found = read([(Reading.WHEEL, path) for path in paths])
    return [list(each.sizes()) if isinstance(each, Listing) else str(each) for each in found]


def read(archives: Sequence[tuple[Reading, Path]]) -> list[Listing | Invalid | None]:
    """For each archive in order: the listing of a wheel, None for a source, Invalid where it cannot be used.

    NodeBroken when the archives cannot be read on this machine.
    """
    found: list[Listing | Invalid | None] = []
    while len(found) < len(archives):
        found += _read_some(archives[len(found) : len(found) + _AT_ONCE])
    return found


def _read_some(archives: Sequence[tuple[Reading, Path]]) -> Iterator[Listing | Invalid | None]:
    """The answers for the first archives, at least for one."""
    outcome = _run(archives)
    began, *lines = outcome.output.split("\n")
    if began != "ready":
        raise NodeBroken(f"cannot read packages on this machine: {outcome.lines[-1] if outcome.lines else 'no reason'}")
    # The text after the last line break is empty, or the beginning of a line.
    for (_, path), line in zip(archives, lines[:-1], strict=False):
        said = _parsed(line)
        if said is None:
            break
        archives = archives[1:]
        yield Invalid(f"cannot use {path.name}: {said['problem']}") if "problem" in said else _listing(said)
    if archives:
        yield Invalid(f"cannot use {archives[0][1].name}: {_ended(outcome)}")


def _run(archives: Sequence[tuple[Reading, Path]]) -> Outcome:
    words = [word for kind, path in archives for word in (kind.value, str(path))]
    with resources.as_file(resources.files("da_agent.adapters.packaging") / "archive_reader.py") as reader:
        return processes.run(
            [sys.executable, "-I", "-S", reader, _LIMITS, str(_NOBODY) if os.geteuid() == 0 else "", *words],
            {"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
            folder=Path("/"),
            patience=_PATIENCE,
            keep=limits.READER_OUTPUT,
        )


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _listing(said: dict[str, Any]) -> Listing | None:
    if "wheel" not in said:
        return None
    about = said["wheel"]
    members = tuple(Member(*each) for each in about["members"])
    return Listing(about["name"], about["version"], tuple(about["scripts"]), members)


def _ended(outcome: Outcome) -> str:
    """Why the process ended while it read an archive."""
    if outcome.code in (None, -signal.SIGXCPU):
        return f"reading it takes more than {limits.READER_SECONDS} s. Make it smaller"
    if outcome.code in (-signal.SIGKILL, -signal.SIGSEGV):
        return "reading it takes more memory than is allowed. Build it again"
    return f"its listing has more than {limits.READER_OUTPUT} bytes. Split it into several packages"
