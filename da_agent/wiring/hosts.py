"""This machine: who and where it is, its folders, terminal and clock."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from da_agent import files
from da_agent.domain import limits
from da_agent.domain.node import folder_rights, variables
from da_agent.domain.node.folder_rights import Folder
from da_agent.domain.node.paths import Paths
from da_agent.domain.store import names
from da_agent.domain.store.locations import Location, location_of_environment
from da_agent.errors import Invalid, NodeBroken
from da_agent.held_folders import changeable

if TYPE_CHECKING:
    from da_agent import ports
    from da_agent.adapters.progress import Watched
    from da_agent.domain.node.nodes import Node


class Host:
    """A machine that is configured by its environment.

    An admin's machine has only the store's address. On a node, the node's own folders are used.
    """

    def __init__(self, environment: Mapping[str, str] | None = None, store: str | None = None) -> None:
        """`store` is a URL that overrides the environment's. None for `environment` means os.environ."""
        self.environment = dict(os.environ if environment is None else environment)
        self._names_another = bool(store) and store != self.environment.get("DA_AGENT_STORE")
        if store:
            self.environment["DA_AGENT_STORE"] = store

    @cached_property
    def node(self) -> Node:
        return variables.parse_node(self.environment, root=os.geteuid() == 0)

    @cached_property
    def paths(self) -> Paths:
        return Paths(self.node.root)

    @cached_property
    def web_group(self) -> int | None:
        """The group id of the web user; None without a web user, or when this machine does not know that user."""
        from da_agent.processes import Account

        with suppress(KeyError):
            return None if self.node.web_user is None else Account.of(self.node.web_user).gid
        return None

    @property
    def is_node(self) -> bool:
        """True when an agent has ever run on this machine below this root."""
        return self.paths.agent.is_dir()

    @property
    def is_own_node(self) -> bool:
        """True when this user may also write to the folders of that node."""
        return self.is_node and os.access(self.paths.agent, os.W_OK)

    @cached_property
    def name(self) -> str:
        """The node's name in the store: DA_AGENT_NODE, or a name that is generated once and kept.

        Raises Invalid when DA_AGENT_NODE is no such name.
        """
        given = self.environment.get("DA_AGENT_NODE")
        if given:
            return names.node(given)
        with suppress(OSError, UnicodeDecodeError):
            kept = self.paths.identity.read_text(encoding="utf-8").strip()
            if names.is_node(kept):
                return kept
        made = names.node_on(socket.gethostname(), secrets.token_hex(3))
        if self.is_node:
            with files.on_this_node("keep the node's name"):
                files.replace(self.paths.identity, made.encode(), 0o644)
        return made

    @cached_property
    def location(self) -> Location:
        location = location_of_environment(self.environment)
        if location is None:
            raise Invalid(
                "no store is named: set DA_AGENT_STORE or give --store, as in file:///srv/cluster or s3://bucket/prefix"
            )
        return location

    @cached_property
    def scratch(self) -> Path:
        """The folder for unfinished files: the node's own, or a cache in the admin's home.

        From now on, no process empties the folder until this one ends.
        """
        if self.is_own_node:
            with files.on_this_node(f"make {self.paths.scratch}"):
                files.make_folders(self._folders(self.paths.scratch), self.web_group)
            from da_agent.adapters.scratches import Scratch

            self._used = Scratch(self.paths.scratch)
            self._used.use()
            return self.paths.scratch
        cache = Path(self.environment.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "da-agent"
        if os.geteuid() == 0:
            # The build user cannot enter root's home.
            cache = Path("/var/cache/da-agent")
        with files.on_this_node(f"make {cache}"):
            cache.mkdir(parents=True, exist_ok=True, mode=0o755)
            if os.geteuid() == 0:
                cache.chmod(0o711)
        return cache

    def make_folders(self) -> None:
        """Make the node's own folders where they are missing, and give each the rights that it must have."""
        with files.on_this_node(f"make the folders of this node below {self.paths.root}"):
            self.paths.root.mkdir(parents=True, exist_ok=True, mode=0o755)
            self._require_way()
            files.make_folders(self._folders(), self.web_group)
            # An admin makes this folder, and private keys lie in it.
            files.close_to_others(self.paths.local_certificates)

    def _require_way(self) -> None:
        """Raise NodeBroken when a user with fewer rights could exchange the folders of an agent that is root."""
        from da_agent.processes import Account

        users = []
        for name in filter(None, (self.node.web_user, self.node.build_user)):
            with suppress(KeyError):
                account = Account.of(name)
                users.append((account.uid, account.gid))
        found = changeable(self.paths.root, users) if users else None
        if found is not None:
            raise NodeBroken(
                f"cannot run a node below {self.paths.root}: the web user or the build user can change what is in "
                f"{found}; run: chown root:root {found} && chmod go-w {found}"
            )

    def _folders(self, *only: Path) -> tuple[Folder, ...]:
        found = folder_rights.folders(self.paths, one_user=self.node.web_user is None)
        return tuple(folder for folder in found if not only or folder.path in only)

    @cached_property
    def progress(self) -> Watched:
        from da_agent.adapters.progress import Lines, Watched

        if sys.stderr.isatty():
            from da_agent.adapters.progress.bars import Bars

            return Watched(Bars())
        return Watched(Lines(sys.stderr))

    @property
    def board(self) -> ports.Board:
        if sys.stdout.isatty():
            from da_agent.adapters.boards.live import LiveBoard

            return LiveBoard()
        from da_agent.adapters.boards import LinedBoard

        return LinedBoard(sys.stdout)

    @cached_property
    def clock(self) -> ports.Clock:
        from da_agent.adapters.clocks import SystemClock

        return SystemClock()


def new_nonce() -> str:
    return secrets.token_hex(16)


def person() -> str:
    """The current user, as user@machine."""
    import getpass

    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        # A container may run as a user id without a name.
        user = str(os.geteuid())
    return f"{user[: limits.NAME]}@{socket.gethostname()}"
