"""What nodes at rest ask of a real S3 server, counted at the client's own wire."""

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from da_agent.adapters.s3_store import S3Store
from da_agent.domain.config.settings import Settings
from da_agent.domain.node.inbox_leader import term
from da_agent.domain.store import keys
from tests import built, servers
from tests.members import Member
from tests.scripted_s3 import listing, scripted

POLLS = 60


@pytest.fixture(scope="module")
def ministack() -> Iterator[servers.S3Server]:
    with servers.ministack() as server:
        yield server


class Wire:
    """The requests that a store sends, by what they ask for."""

    def __init__(self, store: S3Store) -> None:
        self.requests: Counter[str] = Counter()
        for client in (store._clients.patient, store._clients.single_try):
            client.meta.events.register("before-send.s3", self._sent)

    def _sent(self, request: Any, **_: object) -> None:
        self.requests[f"{request.method} {_subject(request.url)}"] += 1


def _subject(url: str) -> str:
    names = {
        "releases": "ledger",
        "inbox-leader.json": "inbox leader",
        "nodes": "report",
        "inbox.json": "verdict",
        "rollouts": "rollout",
    }
    return next((name for part, name in names.items() if f"/{part}" in url), "inbox" if "list-type" in url else url)


def test_polls_of_a_node_without_the_inbox_leader_cost_one_get_each_and_those_with_it_two_requests(
    ministack: servers.S3Server,
) -> None:
    location = ministack.bucket("a/prefix")
    store = S3Store(location, ministack.credentials)
    node = Member(store, "idle")
    # The quiet period passes on the server's clock alone, which is a real one.
    node.clock.on_wait = lambda _: time.sleep(0.3)
    assert node.reconciler.until_serving() is None
    node.clock.on_wait = lambda _: None
    other = built.leases(S3Store(location, ministack.credentials), holder="other", nonce="n", key=keys.INBOX_LEADER)
    assert other.claim(term(Settings().poll_interval))
    wire = Wire(store)
    # The first poll looks at everything.
    node.run(POLLS + 1, lambda number: wire.requests.clear() if number == 1 else None)
    heartbeats = pytest.approx(POLLS / 3, abs=1)
    assert wire.requests == {
        "GET ledger": POLLS,
        "GET inbox leader": heartbeats,
        "GET rollout": heartbeats,
        "PUT report": heartbeats,
    }

    other.release()
    node.begin()
    node.run(POLLS + 1, lambda number: wire.requests.clear() if number == 1 else None)
    assert wire.requests == {
        "GET ledger": POLLS,
        "GET inbox": POLLS,
        # It knows the verdict, but not for ever.
        "GET verdict": 1,
        "GET inbox leader": 1,
        "PUT inbox leader": heartbeats,
        "GET rollout": heartbeats,
        "PUT report": heartbeats,
    }


def test_objects_of_others_between_those_of_the_inbox_do_not_make_it_incomplete() -> None:
    between = listing(*(f"clients/{number:04}" for number in range(1000)), truncated=True)
    each = (listing("certs/a"), listing("config.yml"), listing("packages/b"))
    with scripted(between, *each, *each) as script:
        store = script.store()
        inbox = (keys.CERTIFICATES, keys.CONFIG, keys.PACKAGES)
        for _ in range(2):
            assert sorted(entry.key for entry in store.survey(inbox)) == ["certs/a", "config.yml", "packages/b"]
        # What was in the way once is not asked for again.
        assert len(script.requests) == 7
