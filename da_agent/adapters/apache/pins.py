"""What the web server should serve, as files: the pins, the map of groups and the secret."""

import secrets
from pathlib import Path

from da_agent import files
from da_agent.domain.application.groups import Group
from da_agent.domain.node import loopbacks
from da_agent.domain.node.paths import Paths


class Pins:
    """The folder agent/web. Each change is one rename. Methods may raise OSError.

    A pin is a link to a release's folder, named after a group of worker processes or one of the Apaches.
    A process that starts now serves the pinned release. A running Apache rereads its files only when restarted
    gracefully; until then its pin is `due`.
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def prepare(self) -> None:
        """Make the map and the secret where they are missing. Other users may read the map."""
        if not self._paths.groups.exists():
            self.flip(Group.BLUE)
        if not self._paths.secret.exists():
            files.replace(self._paths.secret, f'Define DA_AGENT_SECRET "{secrets.token_hex(32)}"\n'.encode(), 0o600)

    def secret(self) -> str:
        """The secret of this node; empty before `prepare`."""
        try:
            return loopbacks.secret(self._paths.secret.read_text(encoding="ascii"))
        except FileNotFoundError:
            return ""

    def live(self) -> Group:
        """The group that answers requests; blue, as in apache2.conf and the loader, when the map names none."""
        try:
            words = self._paths.groups.read_text(encoding="ascii").split()
        except FileNotFoundError:
            return Group.BLUE
        return Group(words[1]) if len(words) == 2 and words[1] in set(Group) else Group.BLUE

    def flip(self, group: Group) -> None:
        """Send new requests to `group`."""
        files.replace(self._paths.groups, f"live {group}\n".encode(), 0o644)

    def get(self, name: str) -> Path | None:
        """The folder of the pinned release; None without a pin."""
        try:
            return self._paths.releases / self._paths.pin(name).readlink().name
        except OSError:
            return None

    def put(self, name: str, folder: Path) -> None:
        if self.get(name) == folder:
            return
        new = self._paths.pin(f".{name}.new")
        new.unlink(missing_ok=True)
        new.symlink_to(Path("../../releases") / folder.name)
        new.replace(self._paths.pin(name))
        files.sync_directory(self._paths.web)

    def drop(self, name: str) -> None:
        self._paths.pin(name).unlink(missing_ok=True)
        files.sync_directory(self._paths.web)

    def is_due(self, name: str) -> bool:
        return self._due(name).exists()

    def make_due(self, name: str) -> None:
        files.replace(self._due(name), b"")

    def make_done(self, name: str) -> None:
        self._due(name).unlink(missing_ok=True)

    def _due(self, name: str) -> Path:
        return self._paths.pin(f"{name}.due")
