"""What a staged release says of itself to the loader and to the agent."""

import json
from dataclasses import dataclass
from pathlib import Path

from da_agent.domain.node.paths import Staged
from da_agent.domain.release.releases import Served


@dataclass(frozen=True, slots=True)
class Facts:
    """`processes` are the worker processes of each group under its configuration."""

    serves: Served
    processes: int


UNKNOWN = Facts(Served(), 1)


def read(folder: Path | None) -> Facts:
    """Of the release in `folder`; nothing is known of one that has gone, is damaged or was staged by an older agent."""
    if folder is None:
        return UNKNOWN
    try:
        found = json.loads(Staged(folder).webapp.read_bytes())
        return Facts(Served(**found["serves"]), int(found["processes"]))
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return UNKNOWN
