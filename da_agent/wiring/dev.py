"""A cluster on this machine, put together from the environment of whoever wants it."""

import os
import tempfile
from pathlib import Path

from da_agent.adapters.dev_clusters import DevCluster


def default_directory() -> Path:
    """One for each user: `dev status` and `dev stop` find it again."""
    return Path(tempfile.gettempdir()) / f"da-agent-dev-{os.geteuid()}"


def create(
    directory: Path | None, *, nodes: int, store: str | None, application: str | None, application_path: Path
) -> DevCluster:
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
