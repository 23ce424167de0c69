"""Which names are safe as a key of the store, as a file below a folder, or as an absolute path."""

import re

from da_agent.domain import limits
from da_agent.errors import Invalid

NODE = rf"[A-Za-z0-9_][A-Za-z0-9._-]{{0,{limits.NAME - 1}}}"
"""The name of a node: it is part of a key, of messages and of commands to paste."""


def is_node(name: str) -> bool:
    """Whether a node can have `name`."""
    return re.fullmatch(NODE, name) is not None


def node(name: str) -> str:
    """`name`; Invalid when no node can have it."""
    if not is_node(name):
        raise Invalid(
            f"the variable DA_AGENT_NODE must be a name of at most {limits.NAME} letters, digits and ._-, which begins"
            f" with a letter, a digit or _, not {name!r:.100}"
        )
    return name


def node_on(host: str, suffix: str) -> str:
    """The name of a node on the machine `host`."""
    return f"{re.sub('[^A-Za-z0-9._-]', '-', host)[: limits.NAME // 2].lstrip('.-') or 'node'}-{suffix}"


def is_relative(name: str) -> bool:
    """Whether a file can have `name`, and `name` stays below any folder that it is joined to."""
    return "\0" not in name and is_encodable(name) and all(part not in ("", ".", "..") for part in name.split("/"))


def is_absolute(path: str) -> bool:
    """Whether `path` begins at the root and has no `..` part."""
    return path.startswith("/") and ".." not in path.split("/")


def is_encodable(name: str) -> bool:
    """Whether `name` can be encoded. A name with half a surrogate pair cannot, so no file system or URL accepts it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
