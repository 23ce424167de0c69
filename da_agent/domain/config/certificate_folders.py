"""The keys of config.yml that name folders for certificates, and their valid values."""

from collections.abc import Iterator
from pathlib import Path

from da_agent.domain.config import docassemble_keys
from da_agent.domain.config.documents import Mistake, Section
from da_agent.domain.store.names import is_absolute

INSTALL = "cert install directory"
WEB = "web server certificate directory"
OWNER = "web server user"


def check(root: Section) -> Iterator[Mistake]:
    """Every mistake in the paths of the folders. `docassemble_keys.check` checks that the values are texts."""
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
                    yield Mistake(
                        entry.line, f'"{entry.key!s}" and "{other}" must be separate folders, neither inside the other'
                    )
            seen[str(entry.key)] = Path(plain)
        elif name == INSTALL:
            yield Mistake(
                entry.line,
                f'"{entry.key!s}" must not be empty, or no program finds the certificates: name a folder, or delete the'
                " line, which means /etc/ssl/docassemble",
            )


def _wrong(text: str) -> str | None:
    parts = text.split("/")
    if not is_absolute(text) or not text.isprintable():
        return "an absolute path, such as /etc/ssl/docassemble"
    return None if any(parts) else "a folder of its own, such as /etc/ssl/docassemble"
