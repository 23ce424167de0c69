"""The content of a valid config.yml."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from da_agent.domain.config import certificate_folders, docassemble_keys, documents, sections, visitor_keys
from da_agent.domain.config.documents import Mistake, Section
from da_agent.domain.config.settings import Settings
from da_agent.domain.packages.locked import Indexes
from da_agent.domain.store import keys


@dataclass(frozen=True, slots=True)
class Configuration:
    """A valid configuration. The bytes of the file are never made from it: they are passed on as written."""

    root: Section = field(repr=False)  # contains passwords
    settings: Settings
    indexes: Indexes = field(repr=False)

    def value(self, *path: str) -> object:
        """The value under these keys, in either spelling (spaces or underscores); None when it is missing."""
        found: documents.Value = self.root
        for name in path:
            entry = docassemble_keys.find(found, name) if isinstance(found, Section) else None
            if entry is None:
                return None
            found = entry.value
        return found.plain


def parse(data: bytes) -> Configuration:
    """The configuration in `data`. Invalid with every mistake, each with line and key but without possible secrets."""
    document = documents.parse(data, keys.CONFIG)
    root = document.root
    mistakes = [*document.mistakes, *docassemble_keys.check(root), *sections.misspelt(root), *_index_mistakes(root)]
    mistakes += certificate_folders.check(root)
    settings = sections.read(root, mistakes)
    mistakes += visitor_keys.check(root, settings.visitors)
    documents.refuse(keys.CONFIG, mistakes)
    settings = replace(settings, visitors=visitor_keys.read(root, settings.visitors))
    return Configuration(root, settings, _indexes(root))


# ---- package indexes ------------------------------------------------------------------------------------------


def names_index(text: str) -> bool:
    """Whether `text` is a URL that a package index can have."""
    return re.fullmatch(r"(https?|file)://\S+", text) is not None


_INDEX_KEYS = ("pip index url", "pip extra index urls")


def _index_mistakes(root: Section) -> Iterator[Mistake]:
    for name in _INDEX_KEYS:
        entry = docassemble_keys.find(root, name)
        urls = _texts(root, name)
        if entry and not all(map(names_index, urls)):
            # The message must not repeat the value: it may contain a password.
            yield Mistake(entry.line, f'"{entry.key!s}" must be a URL that begins with https://, http:// or file://')
        if entry and name == _INDEX_KEYS[0] and len(urls) > 1:
            yield Mistake(entry.line, f'"{entry.key!s}" must be one URL: put others under "{_INDEX_KEYS[1]}"')


def _indexes(root: Section) -> Indexes:
    urls = _texts(root, "pip index url")
    return Indexes(
        urls[0] if urls else None, tuple(_texts(root, "pip extra index urls")), tuple(_texts(root, "pip trusted host"))
    )


def _texts(root: Section, name: str) -> list[str]:
    """The words of a text, or of every text of a list. `docassemble_keys.check` checks the types."""
    entry = docassemble_keys.find(root, name)
    plain = entry.value.plain if entry else None
    items = plain if isinstance(plain, list) else [plain]
    return [word for item in items if isinstance(item, str) for word in item.split()]
