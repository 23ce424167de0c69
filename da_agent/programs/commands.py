"""The programs of supervisord.conf: what each does, and how it ends."""

import signal
import sys
from contextlib import ExitStack
from datetime import timedelta
from types import FrameType
from typing import NoReturn

import click

from da_agent.errors import NodeBroken, Stopped
from da_agent.wiring import NodeAgent

PATIENCE = timedelta(minutes=15)
"""How long a one-shot waits for the node's lock: as long as another one may take to converge."""

WAKING = frozenset({"REMOTE_COMMUNICATION", "PROCESS_STATE_EXITED", "PROCESS_STATE_FATAL"})
"""Supervisor's events after which the node looks again at once; the others only show that supervisord is alive."""


def stop(_number: int, _frame: FrameType | None) -> NoReturn:
    """End at once, wherever we are: every effect may be cut, and the next start goes on from what is on disk."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stopped


@click.command()
def initialize() -> None:
    """Make this node ready, from an empty container to a serving node, then start the others."""
    signal.signal(signal.SIGTERM, stop)
    agent = NodeAgent()
    try:
        agent.prepare()
        agent.end_predecessors()
        agent.sweep()
        if agent.open_rpc_port():
            return
        with ExitStack() as stack:
            agent.beat(stack)
            problem = agent.reconciler.until_serving()
        # The password may have come with the configuration that is served since now.
        if agent.open_rpc_port():
            return
    except Exception:
        # Whatever happened: the loop keeps trying, and tells the cluster how this node is.
        agent.supervisor.start("sync")
        raise
    agent.supervisor.start("sync")
    if problem is not None:
        raise NodeBroken(f"this node does not serve yet, and keeps trying: {problem}")


@click.command()
def sync() -> None:
    """Follow the store for ever: the loop, as an event listener of supervisor."""
    signal.signal(signal.SIGTERM, stop)
    agent = NodeAgent()
    agent.prepare()
    with ExitStack() as stack:
        agent.listen(stack, WAKING)
        agent.watch(stack)
        agent.beat(stack)
        agent.reconciler.run(agent.intact)
        sys.stderr.write(f"{agent.paths.root} disappeared; restarting from scratch\n")
        agent.begin_anew()


@click.command()
def update() -> None:
    """Converge now: also try again what was given up here before."""
    signal.signal(signal.SIGTERM, stop)
    agent = NodeAgent()
    agent.prepare()
    with ExitStack() as stack:
        agent.beat(stack)
        problem = agent.reconciler.update(PATIENCE)
    if problem is not None:
        raise NodeBroken(problem)


@click.command()
def reset() -> None:
    """Reload this node: touch the WSGI file."""
    NodeAgent().web.reload()


@click.command(name="install_certs")
def install_certs() -> None:
    """Put the certificates where the web server and others find them, and let Apache read them again."""
    signal.signal(signal.SIGTERM, stop)
    agent = NodeAgent()
    with agent.lock.hold(PATIENCE):
        agent.certificates.install()


@click.command()
def leave() -> None:
    """Take this node out of service, wait until no visitor comes, sign off. Only while supervisord ends."""
    signal.signal(signal.SIGTERM, stop)
    if not NodeAgent().leaving.run():
        sys.stderr.write("supervisord is not ending: this node stays in service\n")


COMMANDS = (initialize, sync, update, reset, install_certs, leave)
