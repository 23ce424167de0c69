"""The keys of the objects in the store: design.md, section 3."""

import re

from da_agent.domain.store.blobs import Blob
from da_agent.domain.store.names import is_node

CONFIG = "config.yml"
CERTIFICATES = "certs/"
PACKAGES = "packages/"
REQUIREMENTS = "packages/requirements.txt"
OURS = ".agent/"
RELEASES = ".agent/releases/"
ROLLOUTS = ".agent/rollouts/"
BLOBS = ".agent/blobs/sha256/"
NODES = ".agent/nodes/"
TWINS = ".agent/twins/"
LEFT = ".agent/left/"
VERDICT = ".agent/inbox.json"
PUBLISHING = ".agent/publishing.json"
INBOX_LEADER = ".agent/inbox-leader.json"
GC_LOCK = ".agent/gc-lock.json"
CONFORMANCE = ".agent/conformance/"


def release_key(number: int) -> str:
    return f"{RELEASES}{number:010d}.json"


def release_number(key: str) -> int | None:
    """The number in a ledger key; None for any other key in the folder."""
    return _number(key, RELEASES)


def rollout_key(number: int) -> str:
    return f"{ROLLOUTS}{number:010d}.json"


def rollout_number(key: str) -> int | None:
    """The number in the key of a rollout record; None for any other key in the folder."""
    return _number(key, ROLLOUTS)


def _number(key: str, folder: str) -> int | None:
    name = key.removeprefix(folder).removesuffix(".json")
    # There is no release 0.
    return int(name) if re.fullmatch(r"(?!0+\Z)[0-9]{10}", name) else None


def node_key(node: str) -> str:
    return f"{NODES}{node}.json"


def twin_key(node: str) -> str:
    """The key of the report of a machine whose node name another machine already uses."""
    return f"{TWINS}{node}.json"


def left_key(node: str) -> str:
    """The key of the last report of a node that has signed off. It counts only while `node_key` has no report."""
    return f"{LEFT}{node}.json"


def node_of(key: str) -> str:
    """The name of the node whose report has this key."""
    return key.removeprefix(NODES).removeprefix(LEFT).removesuffix(".json")


def reporter(key: str) -> str | None:
    """The name of the node whose report, of any of the three kinds, has this key; None when no node can have it."""
    name = key.removeprefix(NODES).removeprefix(LEFT).removeprefix(TWINS).removesuffix(".json")
    return name if is_node(name) and key in (node_key(name), left_key(name), twin_key(name)) else None


def blob_key(blob: Blob) -> str:
    return f"{BLOBS}{blob.sha256[:2]}/{blob.sha256}"
