"""The facts that a staged release states for the loader and the agent."""

import json
from dataclasses import dataclass
from pathlib import Path

from da_agent.domain.node.paths import Staged
from da_agent.domain.release.releases import Served


@dataclass(frozen=True, slots=True)
class Facts:
    """`serves`: fingerprints of what the release serves. `processes`: worker processes per group."""

    serves: Served
    processes: int


UNKNOWN = Facts(Served(), 1)


def read(folder: Path | None) -> Facts:
    """The facts of the release in `folder`; UNKNOWN when it is gone, damaged or staged by an older agent."""
    if folder is None:
        return UNKNOWN
    try:
        found = json.loads(Staged(folder).webapp.read_bytes())
        return Facts(Served(**found["serves"]), int(found["processes"]))
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return UNKNOWN
