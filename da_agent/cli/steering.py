"""What steers the cluster: rollback, restart, pause, resume, retry, forget."""

import click

from da_agent.cli import options, waiting
from da_agent.wiring import Admin

HALF_WAY = "interrupted; da-agent history shows whether the release was made; if it was, its rollout continues"


@click.command()
@click.argument("number", type=click.IntRange(1), required=False)
@options.reason("Shown by `history` and `status`.")
@options.waiting
@options.store
def rollback(number: int | None, reason: str | None, store: str | None, *, wait: bool, timeout: int) -> None:
    """Make a new release with the contents of release NUMBER, or of the newest stable one with other contents.

    It skips the canary if that release was stable. The inbox stays as it is, so the next push starts from it.
    """
    admin = Admin(store=store)
    admin.admit()
    with waiting.leaving(HALF_WAY):
        done = admin.steering.rollback(number, reason)
    options.say(done.sentence)
    options.say("The inbox is unchanged: the next push starts from the inbox, not from this release.", err=True)
    waiting.for_verdict(admin, done.release, wait=wait, timeout=timeout)


@click.command()
@options.reason("Shown by `history` and `status`.", default="restart by command")
@options.waiting
@options.store
def restart(reason: str, store: str | None, *, wait: bool, timeout: int) -> None:
    """Let every node load the same contents in new processes, one after the other."""
    admin = Admin(store=store)
    admin.admit()
    with waiting.leaving(HALF_WAY):
        done = admin.steering.restart(reason)
    options.say(done.sentence)
    waiting.for_verdict(admin, done.release, wait=wait, timeout=timeout)


@click.command()
@options.reason("Shown by `status` and `why`, with your name.", required=True)
@options.store
def pause(reason: str, store: str | None) -> None:
    """Let no node switch to another release until `resume`. A node that has switched goes on."""
    options.say(Admin(store=store).steering.pause(reason).sentence)


@click.command()
@options.reason("Kept in the rollout record.", default="resumed by command")
@options.store
def resume(reason: str, store: str | None) -> None:
    """End the pause."""
    options.say(Admin(store=store).steering.resume(reason).sentence)


@click.command()
@click.argument("number", type=click.IntRange(1))
@options.reason("Shown by `status` and `why`, with your name.", required=True)
@options.store
def retry(number: int, reason: str, store: str | None) -> None:
    """Let the nodes try the quarantined release NUMBER again; its recorded failures are removed."""
    options.say(Admin(store=store).steering.retry(number, reason).sentence)


@click.command()
@click.argument("node")
@options.store
def forget(node: str, store: str | None) -> None:
    """Remove NODE, which will not return: its report and its slot. Refused while NODE reports."""
    options.say(Admin(store=store).forget(node))
