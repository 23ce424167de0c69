"""A cluster on this machine, configured by the caller's environment."""

import os
from pathlib import Path

from da_agent.adapters.dev_clusters import DevCluster
from da_agent.domain.store.locations import location_of_environment


def default_directory() -> Path:
    """The user's own folder for `dev`, to which no other user can write. `dev status` and `dev stop` use it too."""
    if os.geteuid() == 0:
        # The web server's workers are another user, who cannot enter root's home.
        return Path("/var/lib/da-agent/dev")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "da-agent" / "dev"


def create(
    directory: Path | None, *, nodes: int, store: str | None, application: str | None, application_path: Path
) -> DevCluster:
    if store:
        # Raises Invalid before any node starts.
        location_of_environment({"DA_AGENT_STORE": store})
    return DevCluster.create(
        directory or default_directory(),
        nodes=nodes,
        store=store,
        application=application,
        application_path=application_path if application else None,
        environment=os.environ,
    )


def find(directory: Path | None) -> DevCluster:
    return DevCluster.open(directory or default_directory(), os.environ)
