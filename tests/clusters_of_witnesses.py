"""Real clusters for tests: whole nodes that serve tests/applications/witness.py, or what their store names."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from da_agent.adapters.dev_clusters import DevCluster, DevNode

APPLICATIONS = Path(__file__).parent / "applications"

LONG_AGO = (1_577_836_800, 1_577_836_800)
"""When a file was last written that need not become quiet first."""


@contextmanager
def folder() -> Iterator[Path]:
    """A new folder that the web server's user may enter, with a short name: sockets lie below it."""
    path = Path(tempfile.mkdtemp(prefix="da-", dir="/tmp"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def cluster(
    nodes: int,
    store: str | None = None,
    variables: Mapping[str, str] | None = None,
    application: str | None = "witness:application",
    settings: Mapping[str, object] | None = None,
) -> Iterator[DevCluster]:
    """Nodes that are starting; everything is ended afterwards, and nothing may have been left behind.

    With `application` None the configuration in the store names it, and the packages there contain it. With `settings`
    it is there already, in the cluster's own folder, and they are its section `da agent`.
    """
    with folder() as path:
        made = create(path, nodes, store, variables, application)
        if settings is not None:
            config = Path(made.store.removeprefix("file://")) / "config.yml"
            config.write_text(f"secretkey: abcdefghijklmnop\n{section(settings)}")
            os.utime(config, LONG_AGO)
        with running(made):
            yield made


def section(settings: Mapping[str, object]) -> str:
    """The section `da agent` of a configuration."""
    return "".join(["da agent:\n", *(f"  {name}: {json.dumps(value)}\n" for name, value in settings.items())])


def create(
    path: Path,
    nodes: int,
    store: str | None = None,
    variables: Mapping[str, str] | None = None,
    application: str | None = "witness:application",
) -> DevCluster:
    """Nodes below `path` that do not run yet."""
    return DevCluster.create(
        path,
        nodes=nodes,
        store=store,
        application=application,
        application_path=None if application is None else _readable(path),
        environment={**os.environ, **(variables or {})},
    )


@contextmanager
def running(made: DevCluster) -> Iterator[DevCluster]:
    try:
        made.start()
        yield made
    finally:
        left = made.stop()
    assert left == [], "processes that supervisord left behind"


def _readable(path: Path) -> Path:
    """The checkout may lie where the web server's user may not enter: the application is copied."""
    return Path(shutil.copytree(APPLICATIONS, path / "applications"))


def agent(
    cluster: DevCluster, *arguments: str, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `da-agent` as an admin would on another machine, with the cluster's store."""
    environment = {**os.environ, **(variables or {}), "DA_AGENT_STORE": cluster.store}
    environment["DA_AGENT_ROOT"] = str(cluster.directory / "nowhere")
    return subprocess.run(
        (sys.executable, "-m", "da_agent", *arguments), env=environment, capture_output=True, text=True, check=False
    )


def witness(node: DevNode) -> dict[str, Any]:
    with urllib.request.urlopen(node.http_url, timeout=30) as answer:
        facts: dict[str, Any] = json.loads(answer.read())
    return facts
