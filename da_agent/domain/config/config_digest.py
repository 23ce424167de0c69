"""A digest of the content of a YAML file, independent of its comments, quotes and order of keys."""

import hashlib
import json

import yaml

from da_agent.domain.config import documents
from da_agent.domain.config.docassemble_keys import canonical
from da_agent.errors import Invalid

Fact = str | tuple["Fact", ...]


def digest(data: bytes, without: str) -> str:
    """Equal for two files that mean the same to every YAML reader, apart from the top-level key `without`.

    Each scalar counts with its exact text and its YAML type, because YAML versions differ: some read `yes` as text.
    For an unreadable file this is the digest of its bytes.
    """
    try:
        # Rejects files that would take for ever below: aliases that grow, documents that are too deep.
        documents.parse(data, "config.yml")
        top = yaml.compose(data.decode("utf-8-sig"), Loader=documents.Loader)
    except Invalid:
        return hashlib.sha256(data).hexdigest()
    assert isinstance(top, yaml.MappingNode)
    top.value = [pair for pair in top.value if canonical(pair[0].value) != without]
    return hashlib.sha256(json.dumps(_fact(top)).encode()).hexdigest()


def _fact(node: yaml.Node) -> Fact:
    if isinstance(node, yaml.MappingNode):
        return ("mapping", *sorted(((_fact(key), _fact(value)) for key, value in node.value), key=json.dumps))
    if isinstance(node, yaml.SequenceNode):
        return ("list", *map(_fact, node.value))
    return (str(node.tag), str(node.value))
