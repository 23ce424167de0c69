"""Where a node puts its certificates for other programs, by config.yml."""

from pathlib import Path

from da_agent.domain.certificates.folders import Places
from da_agent.domain.config import docassemble_keys
from da_agent.domain.config.certificate_folders import INSTALL, OWNER, WEB
from da_agent.domain.config.documents import Section
from da_agent.domain.node.paths import Paths
from da_agent.errors import Invalid


def places(root: Section, paths: Paths, web_user: str | None) -> Places:
    """The places of a configuration in which `check` finds nothing. Raises Invalid for a place that the agent itself
    uses."""
    web = _text(root, WEB)
    owner = None if web_user is None else _text(root, OWNER) or web_user
    found = Places(Path(_text(root, INSTALL) or paths.served_certificates), Path(web) if web else None, owner)
    for name, path in ((INSTALL, found.install), (WEB, found.web)):
        if path is not None and _is_taken(path, paths):
            raise Invalid(f'"{name}" names {path}, which is used for something else on this node: name another folder')
    return found


def _is_taken(path: Path, paths: Paths) -> bool:
    own = (paths.current, paths.releases, paths.agent, paths.local_certificates, paths.files, paths.wsgi.parent)
    return paths.root.is_relative_to(path) or any(path.is_relative_to(each) for each in own)


def _text(root: Section, name: str) -> str | None:
    entry = docassemble_keys.find(root, name)
    return str(entry.value.plain) if entry and entry.value.plain else None
