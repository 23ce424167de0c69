"""Where a node's certificates are put for other programs, as config.yml says it."""

from collections.abc import Iterator
from pathlib import Path

from da_agent.domain import docassemble_keys
from da_agent.domain.documents import Mistake, Section
from da_agent.domain.paths import Paths
from da_agent.domain.places import Places
from da_agent.errors import Refused

INSTALL = "cert install directory"
WEB = "web server certificate directory"
OWNER = "web server user"


def places(root: Section, paths: Paths, web_user: str | None) -> Places:
    """Of a configuration in which `check` finds nothing. Refused for a place that is the agent's own."""
    web = _text(root, WEB)
    owner = None if web_user is None else _text(root, OWNER) or web_user
    found = Places(Path(_text(root, INSTALL) or paths.served_certificates), Path(web) if web else None, owner)
    for name, path in ((INSTALL, found.install), (WEB, found.web)):
        if path is not None and _is_taken(path, paths):
            raise Refused(f'"{name}" names {path}, which is used for something else on this node: name another folder')
    return found


def check(root: Section) -> Iterator[Mistake]:
    """Every mistake in the names of the places; that they are texts is checked with docassemble's other keys."""
    seen: dict[str, Path] = {}
    for name in (INSTALL, WEB):
        entry = docassemble_keys.find(root, name)
        plain = entry.value.plain if entry else None
        if entry is None or not (plain is None or isinstance(plain, str)):
            continue
        if plain:
            if wrong := _wrong(plain):
                yield Mistake(entry.line, f'"{entry.key!s}" must be {wrong}')
            for other, path in seen.items():
                if Path(plain).is_relative_to(path) or path.is_relative_to(plain):
                    yield Mistake(entry.line, f'"{entry.key!s}" and "{other}" must be two folders side by side')
            seen[str(entry.key)] = Path(plain)
        elif name == INSTALL:
            yield Mistake(
                entry.line,
                f'"{entry.key!s}" must not be empty, or nobody finds the certificates: name a folder, or delete the'
                " line, which means /etc/ssl/docassemble",
            )


def _wrong(text: str) -> str | None:
    parts = text.split("/")
    if not text.startswith("/") or ".." in parts or not text.isprintable():
        return "an absolute path, such as /etc/ssl/docassemble"
    return None if any(parts) else "a folder of its own, such as /etc/ssl/docassemble"


def _is_taken(path: Path, paths: Paths) -> bool:
    own = (paths.current, paths.releases, paths.agent, paths.local_certificates, paths.files, paths.wsgi.parent)
    return paths.root.is_relative_to(path) or any(path.is_relative_to(each) for each in own)


def _text(root: Section, name: str) -> str | None:
    entry = docassemble_keys.find(root, name)
    return str(entry.value.plain) if entry and entry.value.plain else None
