"""Which folders a configuration may name for certificates, and where a node puts its own.

An author of config.yml must not become root: the list of folders is in the node's environment.
"""

from dataclasses import dataclass
from pathlib import Path

from da_agent.domain.certificates.folders import Places
from da_agent.domain.config import docassemble_keys
from da_agent.domain.config.certificate_folders import INSTALL, OWNER, WEB
from da_agent.domain.config.documents import Section
from da_agent.domain.node.paths import Paths
from da_agent.domain.store import keys
from da_agent.errors import Invalid

VARIABLE = "DA_AGENT_CERTIFICATE_FOLDERS"


@dataclass(frozen=True, slots=True)
class AllowedFolders:
    """The folders that a configuration may name: `listed` ones and all below them, and those below the root."""

    paths: Paths
    listed: tuple[Path, ...]

    def check_source(self, folder: Path, name: str) -> None:
        """Raise Invalid when the setting `name` must not name `folder` to read certificates from."""
        if folder != self.paths.local_certificates:
            self.check(folder, name)

    def check(self, path: Path, name: str) -> None:
        """Raise Invalid when the setting `name` must not name `path`."""
        if self._is_taken(path):
            raise Invalid(f'"{name}" names {path}, which is used for something else on this node: name another folder')
        if self.above(path) is None:
            listed = ", ".join(map(str, self.listed))
            raise Invalid(
                f'"{name}" in {keys.CONFIG} names {path}, which this node does not allow: name a folder below {listed},'
                f" or add it to {VARIABLE} in the node's environment"
            )

    def may_read(self, file: Path) -> bool:
        """Whether a certificate may be read from `file`, a real path without links."""
        if file.is_relative_to(self.paths.local_certificates):
            return True
        return self.above(file) is not None and not self._is_taken(file)

    def above(self, path: Path) -> Path | None:
        """The folder of the list, or the root, that is or contains `path`; None when there is none."""
        # The default of `cert install directory` needs no permission: no configuration chose it.
        folders = (*self.listed, self.paths.served_certificates, self.paths.root)
        return next((each for each in folders if path.is_relative_to(each)), None)

    def _is_taken(self, path: Path) -> bool:
        paths = self.paths
        own = (paths.current, paths.releases, paths.agent, paths.local_certificates, paths.files, paths.wsgi.parent)
        log = paths.root / "log"
        return paths.root.is_relative_to(path) or any(path.is_relative_to(each) for each in (*own, log))


def places(root: Section, allowed: AllowedFolders, web_user: str | None) -> Places:
    """The places of a configuration in which `check` finds nothing. Raises Invalid for a place that is not allowed."""
    web = _text(root, WEB)
    owner = None if web_user is None else _text(root, OWNER) or web_user
    default = allowed.paths.served_certificates
    found = Places(Path(_text(root, INSTALL) or default), Path(web) if web else None, owner)
    for name, path in ((INSTALL, found.install), (WEB, found.web)):
        if path is not None:
            allowed.check(path, name)
    return found


def _text(root: Section, name: str) -> str | None:
    entry = docassemble_keys.find(root, name)
    return str(entry.value.plain) if entry and entry.value.plain else None
