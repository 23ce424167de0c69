"""The folders of a node, and who may enter each: design, "Who may do what on a node"."""

from dataclasses import dataclass
from pathlib import Path

from da_agent.domain.node.paths import Paths

_AGENT = 0o700
_WEB_USER_OPENS = 0o710
"""The web user may open what it knows by name."""
_WEB_USER_READS = 0o750
_OTHERS_PASS = 0o711
"""The build user and the owners of certificates pass on the way to folders of their own."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of root with the group of the web user. Its mode alone decides who reaches what is below it.

    Files below may be hard links that the folders of several releases and of a cache share, and have one mode there.
    """

    path: Path
    mode: int


def folders(paths: Paths, *, one_user: bool) -> tuple[Folder, ...]:
    """Each folder after its parent. With `one_user`, for an agent without root, no other user may enter any."""
    rights = {
        paths.agent: _OTHERS_PASS,
        paths.releases: _WEB_USER_READS,
        paths.web: _WEB_USER_READS,
        paths.run: _WEB_USER_OPENS,
        paths.logs: _AGENT,
        paths.blobs: _AGENT,
        paths.partial: _AGENT,
        paths.wheel_cache: _AGENT,
        paths.wheel_links: _AGENT,
        paths.conformances: _AGENT,
        paths.rpc_port.parent: _AGENT,
        paths.certificate_sets: _OTHERS_PASS,
        paths.scratch: _OTHERS_PASS,
    }
    return tuple(Folder(path, _AGENT if one_user else mode) for path, mode in rights.items())
