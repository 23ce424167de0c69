"""The programs of supervisord.conf."""

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
"""How long a one-shot program waits for the node's lock: another program may take that long to converge."""

WAKING = frozenset({"REMOTE_COMMUNICATION", "PROCESS_STATE_EXITED", "PROCESS_STATE_FATAL"})
"""Supervisor's events after which the node reconciles at once. Other events only show that supervisord is alive."""


def stop(_number: int, _frame: FrameType | None) -> NoReturn:
    """End at once: every effect may be interrupted, and the next start continues from the state on disk."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stopped


@click.command()
def initialize() -> None:
    """Prepare this node until it serves, even from an empty container, then start the other programs."""
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
        # The configuration that is now served may have brought the password.
        if agent.open_rpc_port():
            return
    except Exception:
        # After any failure the loop must still run: it retries and reports this node's status to the cluster.
        agent.supervisor.start("sync")
        raise
    agent.supervisor.start("sync")
    if problem is not None:
        raise NodeBroken(f"this node does not serve yet; its agent keeps trying: {problem}")


@click.command()
def sync() -> None:
    """Reconcile this node with the store until stopped, as an event listener of supervisor."""
    signal.signal(signal.SIGTERM, stop)
    agent = NodeAgent()
    agent.prepare()
    with ExitStack() as stack:
        agent.listen(stack, WAKING)
        agent.receive_notifications(stack)
        agent.watch(stack)
        agent.beat(stack)
        agent.reconciler.run(agent.intact)
        sys.stderr.write(f"{agent.paths.root} disappeared; restarting from scratch\n")
        agent.begin_anew()


@click.command()
def update() -> None:
    """Bring this node to the wanted release now; retry releases that it has rejected."""
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
    """Reload the application of this node by touching the WSGI file."""
    NodeAgent().web.reload()


@click.command(name="install_certs")
def install_certs() -> None:
    """Install the certificates for the web server and other programs, and make Apache reread them."""
    signal.signal(signal.SIGTERM, stop)
    agent = NodeAgent()
    with agent.lock.hold(PATIENCE):
        agent.certificates.install()


@click.command()
def leave() -> None:
    """Drain this node, wait until no requests arrive, then sign off. Works only while supervisord is ending."""
    signal.signal(signal.SIGTERM, stop)
    if not NodeAgent().leaving.run():
        sys.stderr.write("supervisord is not ending: this node stays in service\n")


COMMANDS = (initialize, sync, update, reset, install_certs, leave)
