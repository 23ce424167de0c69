"""Everything that can go wrong, sorted by what happens next.

The message of each error is one sentence for an operator: it begins with "cannot" or names the thing at fault,
says where it is, and, where there is one, the remedy. `exit_code` is what a command ends with.
"""

from collections.abc import Iterable


class AgentError(Exception):
    """The root: catch this to turn any expected failure into a sentence."""

    exit_code = 1


# ---- ask a person ---------------------------------------------------------------------------------------------


class Invalid(AgentError):
    """What somebody wrote is wrong; nothing was changed. `mistakes` has one sentence for each thing to mend."""

    exit_code = 3

    def __init__(self, mistakes: Iterable[str] | str) -> None:
        self.mistakes = (mistakes,) if isinstance(mistakes, str) else tuple(mistakes)
        super().__init__("\n".join(self.mistakes))


class Forbidden(AgentError):
    """The store knows us and says no (403), or the credentials are wrong or missing."""

    exit_code = 4


class StoreUnfit(AgentError):
    """The store does not keep the promises that a cluster needs; using it could corrupt the cluster silently."""

    exit_code = 5


# ---- wait, then do the same again -----------------------------------------------------------------------------


class Unreachable(AgentError):
    """The store or the index did not answer, or answered that it cannot now. Says nothing about what is in it."""

    exit_code = 6


class OutcomeUnknown(Unreachable):
    """A conditional write got no clear answer: it may or may not have happened. Read back and compare."""


class StoreDamaged(AgentError):
    """The store lacks an object that a release names, or has other bytes under its name. Nobody's release is at
    fault: once somebody has put the right bytes back, the same works."""

    exit_code = 13


class Busy(AgentError):
    """Another agent process holds this node's lock, or the gc lock behind which things are removed from the store."""

    exit_code = 7


# ---- read again, then decide anew -----------------------------------------------------------------------------


class NotFound(AgentError):
    """The store answered that there is no such object."""

    exit_code = 8


class Conflict(AgentError):
    """The condition of a write did not hold: somebody else was first. Nothing was written."""

    exit_code = 8


# ---- leave it to another node ---------------------------------------------------------------------------------


class NotHere(AgentError):
    """This machine lacks what the task needs (an index, a matching Python or platform); another node may have it."""

    exit_code = 9


# ---- give this release up -------------------------------------------------------------------------------------


class ReleaseBroken(AgentError):
    """The release cannot be staged, rehearsed or served. The node keeps the one it has. `log` ends what was printed."""

    exit_code = 10

    def __init__(self, message: str, log: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.log = log


class Corrupt(ReleaseBroken):
    """Bytes are not what their name or hash promises."""


class Quarantined(ReleaseBroken):
    """The cluster has given the release up: no node begins it any more, and those that had moved go back."""

    exit_code = 14


# ---- this node needs help -------------------------------------------------------------------------------------


class NodeBroken(AgentError):
    """The node, not the release, is at fault: a full disk, a missing program, a web server that does not start."""

    exit_code = 11


class TimedOut(AgentError):
    """What was waited for did not come in time. What was begun goes on without us."""

    exit_code = 12


class Interrupted(AgentError):
    """Somebody at the terminal has waited enough (Ctrl-C). What was begun goes on without us."""

    exit_code = 130


class Superseded(AgentError):
    """The release was neither stable nor quarantined: a newer one, which undoes what it had changed, is served."""

    exit_code = 15


class NoLiveNodes(AgentError):
    """No node is alive: the release is there, and nothing is stable."""

    exit_code = 16


class Stopped(BaseException):
    """Somebody asked this process to end (SIGTERM, Ctrl-C). Not an error: nobody who mends errors may swallow it.

    Whatever was begun is finished or taken back by the next start.
    """

    exit_code = 143
