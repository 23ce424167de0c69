"""When a node to which nobody should come any more counts as empty."""

from datetime import timedelta

NOTICE = timedelta(seconds=6)
"""By then a balancer has found out: haproxy, where nothing is said, looks every 2 s and believes the third answer."""

LONGEST_LEAVE = timedelta(seconds=30)
"""A node that is told to stop waits no longer, whatever `drain` says: supervisord would kill it. The `stopwaitsecs` of
the program `leave` in supervisord.conf must exceed this by the time to sign off."""


def before_leaving(drain: timedelta) -> timedelta:
    """How long a node that is told to stop may wait; `drain` is the setting."""
    return min(drain, LONGEST_LEAVE)


def is_over(active: int, waited: timedelta, patience: timedelta, *, cuts: bool) -> bool:
    """`active` requests are being answered; `patience` is all the time there is.

    `cuts`: what comes next ends requests that take long. Then nobody may come any more, so it does not count that
    nobody happens to be there before the balancer knows. Whatever else comes next loses nobody's request.
    """
    return waited >= patience or (active == 0 and (waited >= NOTICE or not cuts))
