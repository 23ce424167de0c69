"""The programs of supervisord.conf: what each does, and how it ends."""

import signal
import sys
from contextlib import ExitStack
from datetime import timedelta
from types import FrameType
from typing import NoReturn

import click

from da_agent.errors import NodeBroken, Stopped
from da_agent.wiring import Machine

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
    machine = Machine()
    try:
        machine.prepare()
        machine.sweep()
        if machine.open_rpc_port():
            return
        with ExitStack() as stack:
            machine.beat(stack)
            problem = machine.follower.until_serving()
        # The password may have come with the configuration that is served since now.
        if machine.open_rpc_port():
            return
    except Exception:
        # Whatever happened: the loop keeps trying, and tells the cluster how this node is.
        machine.supervisor.start("sync")
        raise
    machine.supervisor.start("sync")
    if problem is not None:
        raise NodeBroken(f"this node does not serve yet, and keeps trying: {problem}")


@click.command()
def sync() -> None:
    """Follow the store for ever: the loop, as an event listener of supervisor."""
    signal.signal(signal.SIGTERM, stop)
    machine = Machine()
    machine.prepare()
    with ExitStack() as stack:
        machine.listen(stack, WAKING)
        machine.watch(stack)
        machine.beat(stack)
        machine.follower.run(machine.intact)
        sys.stderr.write(f"The folders of this node below {machine.paths.root} have gone: everything starts anew\n")
        machine.begin_anew()


@click.command()
def update() -> None:
    """Converge now: also try again what was given up here before."""
    signal.signal(signal.SIGTERM, stop)
    machine = Machine()
    machine.prepare()
    with ExitStack() as stack:
        machine.beat(stack)
        problem = machine.follower.update(PATIENCE)
    if problem is not None:
        raise NodeBroken(problem)


@click.command()
def reset() -> None:
    """Reload this node: touch the WSGI file."""
    Machine().web.reload()


@click.command(name="install_certs")
def install_certs() -> None:
    """Put the certificates where the web server and others find them, and let Apache read them again."""
    signal.signal(signal.SIGTERM, stop)
    machine = Machine()
    with machine.lock.hold(PATIENCE):
        machine.certificates.install()


COMMANDS = (initialize, sync, update, reset, install_certs)
