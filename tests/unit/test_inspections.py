"""What is told of releases whose blobs the store has lost."""

from dataclasses import replace

import pytest

from da_agent.domain.store import keys
from da_agent.domain.store.blobs import blob_of
from da_agent.errors import StoreDamaged
from da_agent.ports import Always
from da_agent.workflows.records import inspections
from tests import built
from tests.fake_nodes import release
from tests.fakes import MemoryStore


def test_a_blob_that_is_missing_or_damaged_is_the_stores_fault_and_the_release_and_the_remedy_are_named() -> None:
    store = MemoryStore()
    for number in (1, 2):
        body, made = f"number: {number}\n".encode(), release(number)
        store.write(keys.blob_key(blob_of(body)), body, Always())
        built.ledger(store).append(replace(made, contents=replace(made.contents, config=blob_of(body))))
    key = keys.blob_key(blob_of(b"number: 1\n"))
    store.delete(key)
    remedy = "release 1 needs it; da-agent publish, on a node that still has it"
    with pytest.raises(StoreDamaged, match=f"{key} is missing .*{remedy}"):
        inspections.show(built.ledger(store), 1, store.clock)
    store.write(key, b"number: 3\n", Always())
    with pytest.raises(StoreDamaged, match=f"{key} .* has other bytes .*{remedy}"):
        inspections.diff(built.ledger(store), 1, 2, store.clock)
    assert inspections.show(built.ledger(store), 2, store.clock).number == 2
