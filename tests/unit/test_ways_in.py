"""Who reads the store's bytes, and who builds what reads and changes them: found in the package's own text."""

import ast
from functools import cache
from pathlib import Path

import da_agent

PACKAGE = Path(da_agent.__file__).parent

READERS = {
    "workflows/records/readers.py": "the one way in",
    "workflows/upkeep/conformance.py": "examines a store by objects of its own",
    "adapters/transfers.py": "takes blobs to the node's disk, by their hash",
    "adapters/snapshots.py": "copies the inbox, by its tags and hashes",
}
PIECES = {
    "Reader",
    "Ledger",
    "Inboxes",
    "Reports",
    "Rollouts",
    "GcLock",
    "Leases",
    "Steering",
    "Publisher",
    "Pushes",
    "Plans",
}
ONLY_HERE = {
    # Its holder is another one each time.
    ("workflows/upkeep/gc_lock.py", "Leases"),
}


@cache
def calls() -> tuple[tuple[str, ast.Call], ...]:
    return tuple(
        (path.relative_to(PACKAGE).as_posix(), node)
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    )


def reads_store(call: ast.Call) -> bool:
    """`store.read(…)`, `self._store.fetch(…)`, and also `partial(store.read, …)` or `x = store.read`."""
    return any(map(_is_read, (call.func, *call.args)))


def _is_read(node: ast.expr) -> bool:
    if not isinstance(node, ast.Attribute) or node.attr not in ("read", "fetch"):
        return False
    return ast.unparse(node.value).rpartition(".")[2] in ("store", "_store")


def call_of(text: str) -> ast.Call:
    call = ast.parse(text, mode="eval").body
    assert isinstance(call, ast.Call)
    return call


def test_the_check_sees_the_ways_to_read() -> None:
    for text in ("store.read(key)", "self._store.fetch(key, take)", "partial(desk.store.read, key)"):
        assert reads_store(call_of(text)), text
    assert not reads_store(call_of("file.read(7)"))


def test_the_stores_bytes_are_read_in_one_place() -> None:
    found = {path for path, call in calls() if reads_store(call)}
    assert found - READERS.keys() == set(), (
        "read it through workflows/records/readers.py: it checks hash, shape and size"
    )
    assert "workflows/records/readers.py" in found


def test_what_reads_and_changes_the_store_is_built_by_the_wiring_alone() -> None:
    found = {
        (path, call.func.id) for path, call in calls() if isinstance(call.func, ast.Name) and call.func.id in PIECES
    }
    elsewhere = {(path, name) for path, name in found if not path.startswith("wiring/")}
    assert elsewhere == ONLY_HERE
    assert {name for path, name in found if path.startswith("wiring/")} == PIECES
