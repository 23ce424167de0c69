"""What a YAML file says, whatever its comments, quotes and order of writing."""

import hashlib
import json

import yaml

from da_agent.domain.config import documents
from da_agent.domain.config.docassemble_keys import canonical
from da_agent.errors import Invalid

Fact = str | tuple["Fact", ...]


def digest(data: bytes, without: str) -> str:
    """Equal for two files of which every reader reads the same, the top key `without` left out.

    Scalars count as they are written, and with the type that YAML gives them: readers of other versions of YAML take
    `yes` for a text. A file that cannot be read counts by its bytes.
    """
    try:
        # Whoever reads it here has refused what would take for ever: aliases that grow, documents too deep.
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
