"""The conflicts between installed packages in the output of `uv pip check` and `pip check`."""

import re
from collections.abc import Iterable

_OF_PIP = re.compile(r"^\S+ \S+ (?:has requirement|requires) ")


def of_uv(lines: Iterable[str]) -> list[str]:
    return [line for line in lines if line.startswith("The package")]


def of_pip(lines: Iterable[str]) -> list[str]:
    return [line for line in lines if _OF_PIP.search(line)]
