"""A whole cluster on this machine."""

import signal
from pathlib import Path
from typing import Any

import click

from da_agent.cli import options
from da_agent.errors import Stopped


def _root(command: Any) -> Any:
    return click.option(
        "--root",
        type=click.Path(path_type=Path, file_okay=False),
        help="The cluster's folder; by default one for each user.",
    )(command)


@click.group(invoke_without_command=True)
@click.option("--nodes", default=3, show_default=True, type=click.IntRange(1, 64), help="How many nodes.")
@click.option("--app", metavar="MODULE:CALLABLE", help="The WSGI application, imported from the current folder.")
@_root
@options.store
@click.pass_context
def dev(context: click.Context, nodes: int, app: str | None, root: Path | None, store: str | None) -> None:
    """Run a cluster on this machine until Ctrl-C; each node has its own supervisord, Apache, ports and root."""
    if context.invoked_subcommand is not None:
        return
    from da_agent.wiring import dev as wiring

    cluster = wiring.create(root, nodes=nodes, store=store, application=app, application_path=Path.cwd())
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, _stop)
    try:
        cluster.start()
        options.say(f"{nodes} nodes are starting below {cluster.directory}; the store is {cluster.store}")
        cluster.wait()
        for node in cluster.nodes:
            options.say(f"{node.name} serves {node.http_url}")
        options.say("Ctrl-C ends them.")
        cluster.join()
        options.say("The nodes have been stopped.")
    except KeyboardInterrupt:
        options.say("Stopping.")
    finally:
        cluster.stop()


@dev.command()
@_root
@options.as_json
def status(root: Path | None, *, as_json: bool) -> None:
    """The nodes of the cluster on this machine, and what they serve."""
    from da_agent.views import dev_clusters
    from da_agent.wiring import dev as wiring

    cluster = wiring.find(root)
    nodes = []
    for node in cluster.nodes:
        health = node.health() if node.running else None
        release = health.get("release") if health else None
        nodes.append(dev_clusters.DevNodeView(node=node.name, running=node.running, url=node.http_url, release=release))
    shown = dev_clusters.of(cluster.store, nodes)
    options.echo(shown, dev_clusters.lines, as_json=as_json)


@dev.command()
@_root
def stop(root: Path | None) -> None:
    """Stop the cluster on this machine."""
    from da_agent.wiring import dev as wiring

    cluster = wiring.find(root)
    for orphan in cluster.stop():
        options.say(f"killed, because it did not end by itself: {orphan}", err=True)
    options.say(f"The cluster below {cluster.directory} is stopped.")


def _stop(_number: int, _frame: object) -> None:
    raise Stopped
