"""When a draining node counts as drained."""

from datetime import timedelta

NOTICE = timedelta(seconds=6)
"""After this time a load balancer has noticed. The default of haproxy: a check every 2 s, down after three failures."""

LONGEST_LEAVE = timedelta(seconds=30)
"""A node that is told to stop waits no longer, whatever `drain` says: supervisord would kill it.

The `stopwaitsecs` of the program `leave` in supervisord.conf must exceed this by the time to sign off.
"""


def before_leaving(drain: timedelta) -> timedelta:
    """How long a node that is told to stop may wait for its requests; `drain` is the setting."""
    return min(drain, LONGEST_LEAVE)


def is_over(active: int, waited: timedelta, patience: timedelta, *, cuts: bool) -> bool:
    """Whether the node is drained. `active` requests are being answered; `patience` is the longest time to wait.

    `cuts`: the next step cuts long requests. Then zero active requests do not count before `NOTICE` is over, because
    the load balancer may still send some. Other steps lose no request.
    """
    return waited >= patience or (active == 0 and (waited >= NOTICE or not cuts))
