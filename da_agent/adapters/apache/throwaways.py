"""Throw-away processes: they run as the web user for a limited time and leave no process behind."""

import os
import pwd
from collections.abc import Mapping, Sequence
from pathlib import Path

from da_agent import processes
from da_agent.domain.node import application_environment
from da_agent.domain.node.nodes import Node
from da_agent.errors import NodeBroken
from da_agent.processes import Outcome


def variables(node: Node, user: pwd.struct_passwd | None) -> dict[str, str]:
    """The environment of a throw-away process of the application, with the home of `user`."""
    kept = application_environment.allowed(node.variables, node.application_variables)
    kept.update(LANG="C.UTF-8", LC_ALL="C.UTF-8")
    kept.setdefault("PATH", os.defpath)
    if user:
        kept.update(HOME=user.pw_dir, USER=user.pw_name, LOGNAME=user.pw_name)
    return kept


def run(
    arguments: Sequence[str],
    *,
    seconds: float,
    environment: Mapping[str, str],
    user: pwd.struct_passwd | None = None,
    gives_way: bool = False,
) -> Outcome:
    """Run to the end or for `seconds`, then end its whole session; NodeBroken when it cannot start."""
    account = processes.Account(user.pw_name, user.pw_uid, user.pw_gid) if user else None
    try:
        return processes.run(
            arguments, environment, folder=Path("/"), patience=seconds, account=account, gives_way=gives_way
        )
    except OSError as error:
        whose = f" as {account.name}" if account else ""
        remedy = "; let this user enter every folder above it" if account and isinstance(error, PermissionError) else ""
        raise NodeBroken(f"cannot run {arguments[0]}{whose}: {error.strerror}{remedy}") from error
