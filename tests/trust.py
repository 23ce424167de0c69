"""What docs/security.md says of keys and traffic, what examples/policies allow, and what a store was really asked."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.proxies import Request

TOP = Path(__file__).resolve().parents[1]
PAGE = TOP / "docs" / "security.md"
POLICIES = TOP / "examples" / "policies"

INBOX = ("config.yml", "certs/", "packages/")
FOLDERS = ("releases/", "rollouts/", "blobs/", "nodes/", "twins/", "left/", "conformance/")
RECORDS = (*FOLDERS, "inbox.json", "publishing.json", "inbox-leader.json", "gc-lock.json")
FILES = "files/"
AREAS = (*INBOX, *RECORDS, FILES)
VERBS = ("reads", "writes", "deletes")
_KEY = re.compile(r"Credential=([^/]+)/")


@dataclass(frozen=True, slots=True, order=True)
class Deed:
    """One of VERBS, and the area of the store, as docs/security.md names it."""

    verb: str
    area: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to the store. `key` is the access key; `target` an object's key or the prefix of a listing."""

    key: str
    method: str
    target: str
    listing: bool
    created_only: bool
    status: int

    @property
    def deed(self) -> Deed:
        verb = {"GET": "reads", "PUT": "writes", "POST": "writes", "DELETE": "deletes"}[self.method]
        return Deed(verb, area_of(self.target))


def asked(request: Request, status: int, prefix: str) -> Asked:
    """`prefix` is that of the store, with a slash behind it."""
    parts = urlsplit(request.path)
    query = parse_qs(parts.query, keep_blank_values=True)
    _, _, name = parts.path.removeprefix("/").partition("/")
    key = _KEY.search(request.fields["authorization"])
    assert key
    target = name or query.get("prefix", [""])[0]
    assert target.startswith(prefix), request
    return Asked(
        key[1],
        request.method,
        target.removeprefix(prefix),
        not name,
        request.fields.get("if-none-match") == "*",
        status,
    )


def area_of(target: str) -> str:
    """The area of AREAS that an object belongs to."""
    name = target.removeprefix(".agent/")
    assert target.startswith(".agent/") or area_in(name, (*INBOX, FILES)), target
    found = area_in(name, AREAS)
    assert found, target
    return found


def area_in(name: str, areas: Iterable[str]) -> str | None:
    return next((area for area in areas if name == area or (area.endswith("/") and name.startswith(area))), None)


def key_in(area: str) -> str:
    """An object of that area."""
    folder = "" if area in (*INBOX, FILES) else ".agent/"
    return f"{folder}{area}{'x' if area.endswith('/') else ''}"


# ---- the page


def traffic() -> Mapping[tuple[str, ...], frozenset[Deed]]:
    """What the commands of each row do to the store, by the page."""
    found: dict[tuple[str, ...], frozenset[Deed]] = {}
    for commands, *cells in _table("| command | reads | writes | deletes |"):
        deeds = frozenset(Deed(verb, area) for verb, cell in zip(VERBS, cells, strict=True) for area in _names(cell))
        assert {deed.area for deed in deeds} <= set(AREAS), commands
        found[_names(commands)] = deeds
    return found


def notifying() -> frozenset[str]:
    """The commands that notify nodes, by the page."""
    rows = _table("| from | to | port | when |")
    return frozenset(next(_names(cells[0]) for cells in rows if "`DA_AGENT_NOTIFY_PORT`" in cells[2]))


def commands() -> Mapping[str, tuple[str, ...]]:
    """The commands that each policy is for, by the page."""
    return {
        _names(policy)[0].removesuffix(".json"): _names(runs) for policy, _, runs in _table("| policy | for | runs |")
    }


def deeds_of(policy: str) -> frozenset[Deed]:
    """What a key with this policy may do, by the page."""
    if policy == "application":
        return frozenset(Deed(verb, FILES) for verb in VERBS)
    if policy == "uploader":
        return frozenset(Deed(verb, area) for verb in VERBS for area in INBOX)
    if policy == "admin":
        return frozenset(Deed(verb, area) for verb in VERBS for area in AREAS if area != FILES)
    known = {command: deeds for row, deeds in traffic().items() for command in row}
    return frozenset().union(*(known[command] for command in commands()[policy]))


def _table(head: str) -> Iterator[list[str]]:
    lines = PAGE.read_text().splitlines()
    for line in lines[lines.index(head) + 2 :]:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


def _names(cell: str) -> tuple[str, ...]:
    return tuple(re.findall(r"`([^`]+)`", cell))


# ---- the policies


def policy(name: str, bucket: str, prefix: str) -> str:
    """The policy as an admin fills it in. `prefix` is that of the store, with a slash behind it, or nothing."""
    return (POLICIES / f"{name}.json").read_text().replace("BUCKET", bucket).replace("PREFIX", prefix)


def listed(name: str, prefix: str) -> tuple[str, ...]:
    """The patterns of what a key with this policy may list."""
    statements = json.loads(policy(name, "bucket", prefix))["Statement"]
    found = (each["Condition"]["StringLike"]["s3:prefix"] for each in statements if each["Action"] == ["s3:ListBucket"])
    return tuple(next(found))
