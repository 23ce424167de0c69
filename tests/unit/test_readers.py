"""What comes out of the store's bytes, and what is done where they are wrong."""

import re
from collections.abc import Callable

import pytest

from da_agent.domain import limits, records
from da_agent.domain.config.strategies import Share
from da_agent.domain.release.releases import Release
from da_agent.domain.rollout.rollouts import opened as opened_now
from da_agent.domain.store import keys
from da_agent.domain.store.blobs import Blob, blob_of
from da_agent.errors import Corrupt, Invalid, NotFound, StoreDamaged
from da_agent.ports import Always
from da_agent.workflows.records.readers import Reader
from tests import built
from tests.fake_nodes import contents, release
from tests.fakes import CHUNK, NOON, FakeClock, FakeNotifier, MemoryBlobs, MemoryStore, MemoryTransfers
from tests.members import Member
from tests.unit.test_publisher import Cluster

CONFIG = b"da agent:\n  max unavailable: 50%\n  canary: 3\n  release command: migrate\n  quiet period: 5\n"
WRONG = CONFIG.replace(b"canary: 3", b"canary: 1")
KEY = keys.blob_key(blob_of(CONFIG))
REMEDY = "release 1 needs it; da-agent publish, on a node that still has it, puts it back"


def damage(store: MemoryStore, body: bytes | None) -> None:
    """The store has these bytes under the name of CONFIG, or nothing."""
    if body is None:
        store.delete(KEY)
    else:
        store.write(KEY, body, Always())


damaged = pytest.mark.parametrize(
    ("body", "told"),
    [
        (None, f"{KEY} is missing from memory://store, and {REMEDY}"),
        (WRONG, f"{KEY} in memory://store has other bytes than its name says, and {REMEDY}"),
        (b"a: 7\n", "has other bytes"),
        (b"", "has other bytes"),
        (b"no: [configuration", "has other bytes"),
        (CONFIG + b"x" * CHUNK, "has other bytes"),
    ],
    ids=["missing", "same size", "other settings", "empty", "no configuration", "too long"],
)


def released(number: int = 1) -> Release:
    return release(number, contents(CONFIG))


# ---- the rollout's strategy and release command


@damaged
def test_a_rollout_is_not_opened_by_a_configuration_that_is_not_the_releases_own(body: bytes | None, told: str) -> None:
    store = MemoryStore()
    records_ = built.rollouts(store, str)
    records_.open(1, None)
    damage(store, body)
    with pytest.raises(StoreDamaged, match=re.escape(told.replace("release 1", "release 2"))):
        records_.open(2, released(2))
    records_.announce(released(2))
    assert records_.read(2) is None
    before = records_.read(1)
    assert before is not None
    assert not before.closed

    damage(store, CONFIG)
    strategy = records_.open(2, released(2)).strategy
    assert (strategy.canary, strategy.max_unavailable, strategy.release_command) == (
        3,
        Share(50, percent=True),
        ("migrate",),
    )


def test_a_configuration_that_is_refused_here_is_no_reason_for_the_default_strategy() -> None:
    store, config = MemoryStore(), b"da agent:\n  what no agent knows: 7\n"
    store.write(keys.blob_key(blob_of(config)), config, Always())
    with pytest.raises(Invalid, match=r"cannot use the configuration of release 1: .*what no agent knows"):
        built.rollouts(store, str).open(1, release(1, contents(config)))
    assert built.rollouts(store, str).read(1) is None


def test_a_node_says_what_keeps_the_rollout_and_goes_on_once_the_store_is_mended() -> None:
    node = Member(MemoryStore(), "a")
    assert node.reconciler.until_serving() is None

    def spoil(key: str) -> None:
        """Between the release and its rollout."""
        if key == keys.release_key(2):
            node.store.before_write = lambda _: None
            damage(node.store, WRONG)

    node.put("config.yml", CONFIG)
    node.store.before_write = spoil
    for _ in range(3):
        assert f"{KEY} in memory://store has other bytes" in (node.reconciler.cycle() or "")
    assert built.ledger(node.store).head() == 2
    assert built.rollouts(node.store, str).read(2) is None
    assert node.live == 1
    (seen,) = built.node_statuses(node.store)
    assert "release 2 needs it; da-agent publish" in (seen.report.problem or "")

    damage(node.store, CONFIG)
    for _ in range(3):
        node.reconciler.cycle()
    record = built.rollouts(node.store, str).read(2)
    assert record is not None
    assert (record.strategy.canary, record.strategy.release_command) == (3, ("migrate",))
    assert node.live == 2


# ---- publishing


@pytest.mark.parametrize("own", [True, False], ids=["on the node's disk", "in the inbox"])
def test_the_quiet_period_is_that_of_the_release_and_not_of_bytes_that_are_not_its_own(own: bool) -> None:
    cluster = Cluster()
    cluster.put({"config.yml": CONFIG})
    cluster.publisher.publish("test")
    damage(cluster.store, CONFIG.replace(b"period: 5", b"period: 0"))
    cluster.clock.waits.clear()
    if own:
        cluster.blobs.bodies[blob_of(CONFIG)] = CONFIG
        cluster.put({"config.yml": b"a: 2\n"})
    else:
        cluster.put({"config.yml": CONFIG})
    cluster.publisher.publish("test")
    assert sum(each.total_seconds() for each in cluster.clock.waits) == 5
    assert cluster.store.read(KEY).data == CONFIG


def test_a_configuration_that_is_lost_for_good_does_not_keep_out_the_one_that_replaces_it() -> None:
    cluster = Cluster()
    cluster.put({"config.yml": CONFIG})
    cluster.publisher.publish("test")
    damage(cluster.store, CONFIG.replace(b"period: 5", b"period: 0"))
    cluster.clock.waits.clear()
    cluster.put({"config.yml": b"a: 2\n"})
    assert cluster.publisher.publish("test").release == 2
    assert sum(each.total_seconds() for each in cluster.clock.waits) == 60


def test_what_is_too_large_to_be_held_is_refused_unread() -> None:
    cluster = Cluster()
    cluster.put({"config.yml": b"#" * (limits.WRITTEN + 1), "certs/a.crt": b"#" * (limits.WRITTEN + 1)})
    cluster.snapshots.read = lambda key: pytest.fail(f"{key} was read")  # type: ignore[attr-defined]
    assert cluster.publisher.publish("test").mistakes == (
        "config.yml has 8388609 bytes; it may have 8388608 at most",
        "certs/a.crt has 8388609 bytes; it may have 8388608 at most",
    )


# ---- going back


def test_a_release_whose_configuration_was_changed_in_the_store_is_not_gone_back_to_unless_it_is_put_back() -> None:
    node = Member(MemoryStore(), "a")
    node.put("config.yml", CONFIG)
    for config in (CONFIG, b"a: 2\n"):
        node.put("config.yml", config)
        for _ in range(3):
            node.reconciler.cycle()
    blobs, store = MemoryBlobs(), node.store
    steering = built.steering(
        store,
        built.rollouts(store, lambda: "n"),
        built.notifications(store, FakeNotifier(), lambda: None, FakeClock()),
        FakeClock(),
        MemoryTransfers(store, blobs),
        who="admin",
        nonce=lambda: "nonce of admin",
    )
    damage(store, WRONG)
    with pytest.raises(StoreDamaged, match=r"cannot repeat release 1: memory://store lacks its config\.yml"):
        steering.rollback(1)
    assert built.ledger(store).head() == 2
    blobs.bodies[blob_of(CONFIG)] = CONFIG
    assert steering.rollback(1).release == 3
    assert store.read(KEY).data == CONFIG


# ---- the reader itself


@damaged
def test_a_blob_is_its_own_bytes_or_the_stores_fault(body: bytes | None, told: str) -> None:
    store = MemoryStore()
    damage(store, body)
    for act in (lambda: Reader(store).blob(blob_of(CONFIG), released()), lambda: Reader(store).settings(released())):
        with pytest.raises(StoreDamaged, match=re.escape(told)) as caught:
            act()
        assert caught.value.exit_code == 13
    damage(store, CONFIG)
    assert Reader(store).blob(blob_of(CONFIG), released()) == CONFIG
    assert Reader(store).settings(released()).quiet_period.total_seconds() == 5


class Counting(MemoryStore):
    """Counts the bytes that are taken from it."""

    taken = 0

    def fetch(self, key: str, sink: Callable[[bytes], object], start: int = 0) -> None:
        def count(chunk: bytes) -> None:
            self.taken += len(chunk)
            sink(chunk)

        super().fetch(key, count, start)


def test_no_more_is_held_of_an_object_than_it_may_have() -> None:
    store = Counting()
    damage(store, CONFIG + b"x" * 20 * CHUNK)
    with pytest.raises(StoreDamaged):
        Reader(store).blob(blob_of(CONFIG), None)
    assert store.taken == CHUNK
    with pytest.raises(Corrupt, match="its size in the release is 8388609 bytes"):
        Reader(store).blob(Blob("0" * 64, limits.WRITTEN + 1), None)
    store.write("certs/a", b"x" * 3 * CHUNK, Always())
    with pytest.raises(Invalid, match=f"certs/a in memory://store: it has more than {CHUNK} bytes"):
        Reader(store).written("certs/a", CHUNK)
    assert store.taken == 3 * CHUNK


READS: dict[str, Callable[[Reader], object]] = {
    keys.release_key(1): lambda reader: reader.release(1),
    keys.rollout_key(1): lambda reader: reader.rollout(1),
    keys.node_key("a"): lambda reader: reader.report(keys.node_key("a")),
    keys.VERDICT: lambda reader: reader.verdict(),
}


@pytest.mark.parametrize("key", READS)
@pytest.mark.parametrize("body", [b"", b"{}", b'{"release": 1}', b" " * (limits.RECORD + 1)], ids=len)
def test_a_record_has_its_shape_or_is_named(key: str, body: bytes) -> None:
    store = MemoryStore()
    with pytest.raises(NotFound):
        READS[key](Reader(store))
    store.write(key, body, Always())
    with pytest.raises(Corrupt, match=re.escape(key)):
        READS[key](Reader(store))


def test_a_record_comes_with_its_tag_and_its_time_and_not_under_the_number_of_another() -> None:
    store = MemoryStore()
    record = opened_now(1, built.rollouts(store, str).open(1, None).strategy, (), now=NOON)
    tag = store.write(keys.rollout_key(1), records.seal(record), Always())
    found = Reader(store).rollout(1)
    assert (found.value, found.tag, found.modified_at) == (record, tag, NOON)
    store.write(keys.rollout_key(2), records.seal(record), Always())
    store.write(keys.release_key(2), records.seal(release(1)), Always())
    with pytest.raises(Corrupt, match="the rollout of release 1"):
        Reader(store).rollout(2)
    with pytest.raises(Corrupt, match="those of release 1"):
        Reader(store).release(2)
    assert Reader(store).has_release(2)
    assert not Reader(store).has_release(3)


def test_a_damaged_lease_has_no_value_and_can_be_replaced() -> None:
    store = MemoryStore()
    tag = store.write(keys.PUBLISHING, b"{", Always())
    found = Reader(store).lease(keys.PUBLISHING)
    assert (found.value, found.tag) == (None, tag)
    assert built.leases(store, holder="a", nonce="n").claim()
    held = Reader(store).lease(keys.PUBLISHING).value
    assert held is not None
    assert held.holder == "a"


def test_a_copy_is_the_blob_or_nothing() -> None:
    store = MemoryStore()
    store.write("packages/a.whl", CONFIG, Always())
    assert Reader(store).copy("packages/a.whl", blob_of(CONFIG)) == CONFIG
    assert Reader(store).copy("packages/a.whl", blob_of(WRONG)) is None
    with pytest.raises(NotFound):
        Reader(store).copy("packages/b.whl", blob_of(CONFIG))
