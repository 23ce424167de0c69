"""The user that resolves, builds and compiles packages: not root, and not the user of the application."""

import os
import pwd

from da_agent.errors import NotHere
from da_agent.processes import Account


def build_user(name: str | None, apart_from: str | None) -> Account | None:
    """The account that runs foreign code; None for the agent's own user, when the agent is not root.

    NotHere when the agent is root and `name` is missing, unknown, root, or shares its id or group with `apart_from`,
    the user that runs the application: the application could change what is built, or the build read its files.
    """
    if os.geteuid() != 0:
        return None
    if name is None:
        raise NotHere("cannot build packages as root: set DA_AGENT_BUILD_USER to a user of its own")
    try:
        account = Account.of(name)
    except KeyError as error:
        raise NotHere(
            f"cannot build packages here: this machine has no user {name}. Make it: {_command(name)}"
        ) from error
    if 0 in (account.uid, account.gid):
        raise NotHere(f"cannot build packages as {name}: it has the rights of root. {_ANOTHER}")
    if account.uid == _NOBODY:
        raise NotHere(f"cannot build packages as {name}: other programs may run as it. {_ANOTHER}")
    if apart_from is not None:
        _require_apart(account, apart_from)
    return account


def _require_apart(account: Account, name: str) -> None:
    try:
        other = pwd.getpwnam(name)
    except KeyError:
        # The web server says so where it needs that user.
        return
    if account.uid == other.pw_uid or account.gid == other.pw_gid:
        shared = "user id" if account.uid == other.pw_uid else "group"
        raise NotHere(
            f"cannot build packages as {account.name}: it has the {shared} of {name}, which runs the application."
            f" {_ANOTHER}"
        )


def _command(name: str) -> str:
    return f"useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin {name}"


_NOBODY = 65534
_ANOTHER = "Set DA_AGENT_BUILD_USER to a user that has its own group and does nothing else"
