"""Every expected failure, sorted by what happens next.

The message of each error is one sentence for an operator: it begins with "cannot" or names the faulty thing,
says where it is and, if there is one, gives the remedy. `exit_code` is the exit code of the command.
"""

from collections.abc import Iterable


class AgentError(Exception):
    """The root of the tree. Catching it turns any expected failure into a sentence."""

    exit_code = 1


# ---- an admin must act ------------------------------------------------------------------------------------------


class Invalid(AgentError):
    """The input is invalid; nothing was changed. `mistakes` has one sentence for each thing to correct."""

    exit_code = 3

    def __init__(self, mistakes: Iterable[str] | str) -> None:
        self.mistakes = (mistakes,) if isinstance(mistakes, str) else tuple(mistakes)
        super().__init__("\n".join(self.mistakes))


class Forbidden(AgentError):
    """The store denies access (403), or the credentials are wrong or missing."""

    exit_code = 4


class StoreUnfit(AgentError):
    """The store does not give the guarantees that a cluster needs. Using it could silently corrupt the cluster."""

    exit_code = 5


# ---- wait, then do the same again -----------------------------------------------------------------------------


class Unreachable(AgentError):
    """The store or the index did not answer, or is temporarily unable to. This says nothing about its contents."""

    exit_code = 6


class OutcomeUnknown(Unreachable):
    """A conditional write got no clear answer: it may or may not have happened. Read the object back and compare."""


class StoreDamaged(AgentError):
    """The store lacks an object that a release names, or has wrong bytes under its name.

    The release is not the cause: the same operation works again once the right bytes are back.
    """

    exit_code = 13


class Busy(AgentError):
    """Another agent process holds this node's lock, or the gc lock that protects removals from the store."""

    exit_code = 7


# ---- read again, then decide anew -----------------------------------------------------------------------------


class NotFound(AgentError):
    """The store answered that the object does not exist."""

    exit_code = 8


class Conflict(AgentError):
    """The condition of a write did not hold: another writer was first. Nothing was written."""

    exit_code = 8


# ---- another node can do it -----------------------------------------------------------------------------------


class NotHere(AgentError):
    """This machine lacks what the task needs (an index, a matching Python or platform); another node may have it."""

    exit_code = 9


# ---- this release is bad ----------------------------------------------------------------------------------------


class ReleaseBroken(AgentError):
    """The release cannot be staged, rehearsed or served. The node keeps its current one. `log` has the last output."""

    exit_code = 10

    def __init__(self, message: str, log: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.log = log


class Corrupt(ReleaseBroken):
    """Bytes do not match their name or hash."""


class UnknownFormat(Corrupt):
    """A record has a format that this agent does not know: another agent is newer. The record is not damaged, and must
    not be replaced.
    """


class Quarantined(ReleaseBroken):
    """The cluster has quarantined the release: no node starts it, and updated nodes roll back."""

    exit_code = 14


# ---- this node needs help -------------------------------------------------------------------------------------


class NodeBroken(AgentError):
    """The node is the cause, not the release: a full disk, a missing program, a web server that does not start."""

    exit_code = 11


class TimedOut(AgentError):
    """The expected event did not happen in time. The operation itself continues."""

    exit_code = 12


class Interrupted(AgentError):
    """The user stopped waiting (Ctrl-C). The operation itself continues."""

    exit_code = 130


class Superseded(AgentError):
    """The release became neither stable nor quarantined: a newer release, which undoes its changes, is served."""

    exit_code = 15


class NoLiveNodes(AgentError):
    """No node is alive: the release is published, and nothing is stable."""

    exit_code = 16


class Stopped(BaseException):
    """A signal told this process to end (SIGTERM, Ctrl-C). Not an error, so code that handles errors must not catch it.

    The next start finishes or undoes whatever was unfinished.
    """

    exit_code = 143
