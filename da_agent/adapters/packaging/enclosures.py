"""Processes of the builder that end together, see no process of another user, and gain no rights.

A build can leave a process behind that no signal to its group reaches. In a process namespace of its own the kernel
ends it with the build.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from da_agent import processes
from da_agent.processes import Account

_NAMESPACES = ("unshare", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc", "--")


@dataclass(frozen=True, slots=True)
class Enclosure:
    """What stands before each command of the builder: `namespaces` of its own, and the change of `user`.

    Both are empty when the agent is not root.
    """

    namespaces: tuple[str, ...]
    user: tuple[str, ...]

    @staticmethod
    def of(account: Account | None) -> "Enclosure":
        """Root in a container may not make namespaces: there the user is changed, and no more."""
        if account is None:
            return Enclosure((), ())
        user = ("setpriv", f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups", "--no-new-privs", "--")
        return Enclosure(_NAMESPACES if _works(_NAMESPACES) else (), user)

    def prefix(self, *, becomes: bool) -> tuple[str, ...]:
        """`becomes`: for a program that changes the user itself."""
        return self.namespaces if becomes else (*self.namespaces, *self.user)


def _works(command: Sequence[str]) -> bool:
    try:
        return processes.run([*command, "true"], {"PATH": os.defpath}, folder=Path("/"), patience=10).well
    except OSError:
        return False
