"""Pushes to a real S3 server that others use at the same instant, and behind a network that resets connections."""

import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from da_agent.adapters.clocks import SystemClock
from da_agent.adapters.s3_store import S3Store
from da_agent.domain.store import keys
from da_agent.domain.store.inboxes import Inbox
from da_agent.errors import TimedOut
from da_agent.ports import Always, Store
from da_agent.workflows.publish import pushes
from da_agent.workflows.publish.drafts import Drafts
from da_agent.workflows.publish.pushes import InboxWrites, Pushes
from da_agent.workflows.records.rollouts import Rollouts
from tests import built, servers
from tests.fake_nodes import FakeSnapshots
from tests.fakes import FakeNotifier, MemoryBlobs, MemoryTransfers, SilentProgress
from tests.members import Member
from tests.proxies import Fault, proxy
from tests.servers import S3Server

ROUNDS = 4


@pytest.fixture(scope="module")
def ministack() -> Iterator[S3Server]:
    with servers.ministack() as server:
        yield server


def pushing(member: Member[S3Store]) -> Pushes:
    """As wiring builds them, with a resolver that needs no index."""
    drafts = Drafts(
        snapshots=FakeSnapshots(member.store),
        resolver=member.resolver,
        progress=member.progress,
        now=member.store.clock,
        trusted=tuple,
        handshake=lambda _: None,
    )
    publisher = built.publisher(
        member.store,
        MemoryTransfers(member.store, MemoryBlobs()),
        drafts,
        SystemClock(),
        built.notifications(member.store, FakeNotifier(), lambda: None, member.clock),
        rollouts=rollouts(member.store),
        who=member.name,
        nonce=lambda: secrets.token_hex(8),
    )
    leases = built.leases(member.store, holder=member.name, nonce=member.name)
    return built.pushes(member.store, drafts, publisher, leases)


def rollouts(store: Store) -> Rollouts:
    return built.rollouts(store, lambda: secrets.token_hex(8))


def test_pushes_at_the_same_instant_all_become_releases(ministack: S3Server) -> None:
    location = ministack.bucket()
    store = S3Store(location, ministack.credentials)
    store.write(keys.CONFIG, b"settings: {quiet period: 0}\n", Always())
    members = [Member(store, name) for name in ("a", "b")]
    barrier = threading.Barrier(2)

    def push(member: Member[S3Store], number: int) -> int | None:
        met = False

        def change(inbox: Inbox) -> InboxWrites:
            nonlocal met
            text = _requirements(store)
            if not met:
                met = True
                barrier.wait(60)
            return pushes.packages(inbox, text, (f"{member.name}{number}",), {})

        return pushing(member).push(change, "test").release

    with ThreadPoolExecutor(2) as pool:
        for number in range(ROUNDS):
            done = list(pool.map(push, members, [number] * len(members)))
            assert None not in done
    lines = _requirements(store).decode().split()
    assert sorted(lines) == sorted(f"{name}{number}" for name in "ab" for number in range(ROUNDS))


def _requirements(store: Store) -> bytes:
    found = list(store.scan(keys.REQUIREMENTS))
    return store.read(keys.REQUIREMENTS).data if found else b""


def test_connections_that_are_reset_are_waited_out(ministack: S3Server) -> None:
    location = ministack.bucket()
    with proxy(ministack.endpoint_url) as between:
        store = S3Store(replace(location, endpoint_url=between.url), ministack.credentials)
        member = Member(S3Store(location, ministack.credentials), "a")
        # A push waits for no quiet inbox: the time of the member's clock is not that of the store.
        pushing(member).push(lambda inbox: InboxWrites({keys.CONFIG: b"settings: {quiet period: 0}\n"}), "test")
        assert member.reconciler.cycle() is None
        assert member.live == 1
        between.choose = lambda request: Fault(lost=True)
        progress = SilentProgress()

        waiting = _Clock(between.mend, after=2)
        assert built.until_stable(
            store, rollouts(store), waiting, progress, 1, patience=timedelta(minutes=5)
        ).nodes == ("a",)
        assert any("does not answer" in each for each in progress.said)
        between.refuse()
        with pytest.raises(TimedOut, match=r"release 1 is published; its rollout continues.*could not connect"):
            built.until_stable(store, rollouts(store), SystemClock(), progress, 1, patience=timedelta())


class _Clock(SystemClock):
    """Calls `act` with its wait number `after`."""

    def __init__(self, act: Callable[[], object], *, after: int) -> None:
        super().__init__()
        self._act = act
        self._left = after

    def wait(self, period: timedelta) -> bool:
        self._left -= 1
        if self._left == 0:
            self._act()
        return super().wait(period)
