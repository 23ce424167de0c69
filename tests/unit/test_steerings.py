"""Rollback, restart, pause, resume and retry."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from da_agent.domain.node.notifications import Key, contact
from da_agent.domain.rollout.rollouts import Past, State
from da_agent.domain.store import keys
from da_agent.domain.store.blobs import blob_of
from da_agent.errors import Interrupted, Invalid, NotFound, OutcomeUnknown, StoreDamaged, UnknownFormat, Unreachable
from da_agent.ports import Always
from tests import built
from tests.fakes import FakeClock, FakeNotifier, MemoryBlobs, MemoryStore, MemoryTransfers
from tests.members import Member

KEY = Key(b"of this cluster")


class Cluster:
    """One node, and an admin beside it."""

    def __init__(self, notifier: FakeNotifier | None = None) -> None:
        self.store = MemoryStore()
        self.node = Member(self.store, "a")
        self.notifier = notifier or FakeNotifier()
        self.records = built.rollouts(self.store, lambda: "nonce")
        self.nonces = iter(range(1000))
        self.clock = FakeClock()
        self.blobs = MemoryBlobs()
        notifications = built.notifications(self.store, self.notifier, lambda: KEY, self.clock)
        self.steering = built.steering(
            self.store,
            self.records,
            notifications,
            self.clock,
            MemoryTransfers(self.store, self.blobs),
            who="admin@desk",
            nonce=lambda: f"s{next(self.nonces)}",
        )
        self.cycle()

    def cycle(self) -> None:
        for _ in range(3):
            self.node.reconciler.cycle()

    def can_be_woken(self) -> None:
        self.node.reconciler._contact = lambda: contact("a", "10.0.0.7:9001", KEY)
        self.node.reconciler.cycle()

    def push(self, name: str) -> None:
        self.node.put("config.yml", f"name: {name}\n".encode())
        self.cycle()

    def push_bad(self, name: str) -> int:
        number = (built.ledger(self.store).head() or 0) + 1
        self.node.web.unfit.add(number)
        self.push(name)
        assert self.state(number) is State.QUARANTINED
        return number

    def state(self, number: int) -> State:
        record = self.records.read(number)
        assert record is not None
        return record.state

    def config(self) -> bytes:
        contents = built.ledger(self.store).top().contents
        assert contents is not None
        return self.store.read(keys.blob_key(contents.config)).data


def test_a_rollback_is_a_new_release_with_the_old_contents() -> None:
    cluster = Cluster()
    cluster.push("b")
    done = cluster.steering.rollback(1)
    assert (done.release, done.sentence) == (3, "Release 3 has the contents of release 1 again.")
    release = built.ledger(cluster.store).read(3)
    assert (release.rollback_of, release.publisher) == (1, "admin@desk")
    cluster.cycle()
    assert cluster.node.live == 3
    assert cluster.config() == b"name: a\n"
    record = cluster.records.read(3)
    assert record is not None
    assert record.skip_canary


def test_without_a_number_it_goes_to_the_newest_stable_release_that_holds_something_else() -> None:
    cluster = Cluster()
    cluster.push("b")
    bad = cluster.push_bad("c")
    assert cluster.steering.rollback(None).sentence.endswith("contents of release 2 again.")
    assert bad == 3


def test_after_a_restart_it_goes_to_what_was_there_before_that() -> None:
    cluster = Cluster()
    cluster.push("b")
    cluster.steering.restart("more memory")
    cluster.cycle()
    assert cluster.steering.rollback(None).sentence == "Release 4 has the contents of release 1 again."


def test_it_is_refused_without_anything_to_go_back_to() -> None:
    with pytest.raises(Invalid, match="no stable release before 1"):
        Cluster().steering.rollback(None)


def test_it_is_refused_where_nothing_would_change() -> None:
    cluster = Cluster()
    cluster.push("b")
    with pytest.raises(Invalid, match="nothing to do: release 2 is the newest one"):
        cluster.steering.rollback(2)
    cluster.push("a")
    with pytest.raises(Invalid, match="nothing to do: release 1 has the contents of release 3, the newest one"):
        cluster.steering.rollback(1)


def test_it_is_refused_for_a_quarantined_release_with_the_remedy() -> None:
    cluster = Cluster()
    bad = cluster.push_bad("b")
    cluster.push("c")
    with pytest.raises(Invalid, match=r"release 2 is quarantined.* da-agent retry 2"):
        cluster.steering.rollback(bad)


def test_it_is_refused_for_a_release_that_does_not_exist() -> None:
    with pytest.raises(NotFound, match="no release 9"):
        Cluster().steering.rollback(9)


def test_a_release_whose_blobs_are_gone_is_not_gone_back_to() -> None:
    cluster = Cluster()
    cluster.push("b")
    cluster.store.delete(keys.blob_key(blob_of(b"name: a\n")))
    with pytest.raises(
        StoreDamaged, match=r"cannot repeat release 1: .* lacks its config.yml.*the same command on a node"
    ):
        cluster.steering.rollback(1)
    assert built.ledger(cluster.store).head() == 2


def test_a_machine_that_still_has_what_the_store_lost_puts_it_back_and_goes_back() -> None:
    cluster = Cluster()
    cluster.push("b")
    cluster.store.delete(keys.blob_key(blob_of(b"name: a\n")))
    cluster.blobs.bodies[blob_of(b"name: a\n")] = b"name: a\n"
    assert cluster.steering.rollback(1).release == 3
    assert cluster.config() == b"name: a\n"


def test_a_release_that_somebody_makes_at_the_same_time_does_not_stop_it() -> None:
    cluster = Cluster()
    cluster.push("b")

    def faster(key: str) -> None:
        if key == keys.release_key(3):
            cluster.store.before_write = lambda _: None
            ledger = built.ledger(cluster.store)
            ledger.append(replace(ledger.read(2), number=3, nonce="faster"))

    cluster.store.before_write = faster
    assert cluster.steering.rollback(1).release == 4


def test_a_restart_is_the_same_contents_served_by_new_processes() -> None:
    cluster = Cluster()
    assert cluster.steering.restart("more memory").release == 2
    first, second = (built.ledger(cluster.store).read(number) for number in (1, 2))
    assert first.contents == second.contents
    assert (second.restart, second.reason) == (True, "more memory")
    cluster.cycle()
    assert cluster.node.live == 2


def test_a_restart_after_a_quarantine_starts_what_the_nodes_serve_anew() -> None:
    cluster = Cluster()
    cluster.push("b")
    cluster.push_bad("c")
    assert cluster.steering.restart("more memory").sentence == (
        "Release 4 has the contents of release 2, which the nodes serve because release 3 is quarantined."
        " Every node loads it in new processes."
    )
    cluster.cycle()
    assert (cluster.config(), cluster.node.live, cluster.state(4)) == (b"name: b\n", 4, State.STABLE)
    assert built.ledger(cluster.store).read(4).restart


def test_a_restart_is_refused_with_the_remedy_when_there_is_nothing_to_go_back_to() -> None:
    cluster = Cluster()
    record = cluster.records.read(1)
    assert record is not None
    bad = replace(record, state=State.QUARANTINED, past=Past())
    cluster.records.change(1, lambda *_: bad)
    with pytest.raises(Invalid, match=r"cannot restart: release 1 is quarantined.* da-agent retry 1 --reason TEXT"):
        cluster.steering.restart("more memory")


def test_what_was_quarantined_under_a_later_number_is_not_released_under_another_one() -> None:
    cluster = Cluster()
    cluster.node.web.unfit.add(2)
    cluster.steering.restart("more memory")
    cluster.cycle()
    assert cluster.state(2) is State.QUARANTINED
    refused = r"release 2 has the same contents, and .*quarantined.* da-agent retry 2"
    with pytest.raises(Invalid, match=refused):
        cluster.steering.rollback(1)
    with pytest.raises(Invalid, match=refused):
        cluster.steering.restart("once more")
    cluster.push("c")
    with pytest.raises(Invalid, match="release 2 has the same contents"):
        cluster.steering.rollback(1)
    cluster.steering.retry(2, "the database is back")
    assert cluster.steering.rollback(1).release == 4


def test_a_canary_goes_first_to_what_was_never_stable() -> None:
    cluster = Cluster()
    cluster.steering.pause("night shift")
    cluster.push("b")
    cluster.push("c")
    done = cluster.steering.rollback(2)
    assert (
        done.sentence
        == "Release 4 has the contents of release 2 again. It was never stable, so the canary nodes update first."
    )
    cluster.cycle()
    record = cluster.records.read(4)
    assert record is not None
    assert not record.skip_canary


def test_whatever_comes_after_a_restart_carries_it_on() -> None:
    cluster = Cluster()
    cluster.steering.restart("more memory")
    cluster.push("b")
    cluster.steering.rollback(1)
    releases = [built.ledger(cluster.store).read(number) for number in (1, 2, 3, 4)]
    assert [each.newest_restart for each in releases] == [None, 2, 2, 2]


def test_a_pause_holds_what_comes_after_it_until_somebody_resumes() -> None:
    cluster = Cluster()
    assert cluster.steering.pause("night shift").sentence.startswith("Paused: no node updates")
    cluster.push("b")
    assert cluster.node.live == 1
    said = cluster.steering.pause("again").sentence
    assert said.startswith("The cluster is paused already, by admin@desk")
    assert said.endswith("night shift.")
    assert cluster.steering.resume("morning").sentence == "Resumed: the nodes go on to release 2."
    cluster.cycle()
    assert cluster.node.live == 2
    record = cluster.records.read(2)
    assert record is not None
    assert record.resumed is not None
    assert record.resumed.reason == "morning"


def test_resuming_without_a_pause_changes_nothing() -> None:
    cluster = Cluster()
    before = cluster.records.read(1)
    assert cluster.steering.resume("why not").sentence == "The cluster is not paused."
    assert cluster.records.read(1) == before


def test_a_pause_is_not_lost_when_a_newer_release_comes_at_the_same_time() -> None:
    cluster = Cluster()

    def faster(key: str) -> None:
        if key == keys.rollout_key(1):
            cluster.store.before_write = lambda _: None
            cluster.push("b")

    cluster.store.before_write = faster
    cluster.steering.pause("night shift")
    newest = cluster.records.read(2)
    assert newest is not None
    assert newest.paused is not None
    assert newest.paused.reason == "night shift"


def test_a_pardoned_release_is_tried_again() -> None:
    cluster = Cluster()
    bad = cluster.push_bad("b")
    cluster.node.web.unfit.clear()
    assert cluster.steering.retry(bad, "fixed").sentence == "Release 2 is retried: the nodes try it again."
    cluster.cycle()
    assert (cluster.node.live, cluster.state(bad)) == (2, State.STABLE)


def test_a_retry_of_an_older_release_says_how_to_go_there() -> None:
    cluster = Cluster()
    bad = cluster.push_bad("b")
    cluster.push("c")
    cluster.node.web.unfit.clear()
    assert "da-agent rollback 2" in cluster.steering.retry(bad, "fixed").sentence
    cluster.steering.rollback(bad)
    cluster.cycle()
    assert cluster.node.live == 4


def test_a_retry_whose_answer_was_lost_and_that_a_node_has_followed_is_done() -> None:
    cluster = Cluster()
    bad = cluster.push_bad("b")
    cluster.node.web.unfit.clear()

    def lose(key: str) -> None:
        cluster.store.after_write = lambda _: None
        cluster.cycle()
        raise OutcomeUnknown(f"no answer for {key}")

    cluster.store.after_write = lose
    assert cluster.steering.retry(bad, "fixed").sentence == "Release 2 is retried: the nodes try it again."
    record = cluster.records.read(bad)
    assert record is not None
    assert (record.state, len(record.retries)) == (State.STABLE, 1)


@pytest.mark.parametrize("restart", [True, False])
def test_a_store_that_is_silent_after_the_append_does_not_hide_that_the_release_is_made(restart: bool) -> None:
    cluster = Cluster()
    cluster.push("b")

    def silent(key: str) -> None:
        if key.startswith(keys.RELEASES):
            cluster.store.failing = Unreachable("no answer")

    cluster.store.after_write = silent
    done = cluster.steering.restart("again") if restart else cluster.steering.rollback(1)
    assert done.release == 3
    assert done.sentence.startswith("Release 3 has the contents of release")
    cluster.store.failing = None
    assert built.ledger(cluster.store).head() == 3


def test_an_older_agent_changes_nothing_about_the_release_of_a_newer_one() -> None:
    cluster = Cluster()
    newer = cluster.store.read(keys.release_key(1)).data.replace(b'"format": 1', b'"format": 2')
    cluster.store.write(keys.release_key(2), newer, Always())
    orders: tuple[Callable[[], object], ...] = (
        lambda: cluster.steering.pause("night"),
        lambda: cluster.steering.restart("again"),
        lambda: cluster.steering.rollback(1),
    )
    for order in orders:
        with pytest.raises(UnknownFormat, match="Update da_agent on this node"):
            order()
    assert cluster.records.read(2) is None
    assert built.ledger(cluster.store).head() == 2


class Impatient(FakeNotifier):
    """Somebody types Ctrl-C while the nodes are notified."""

    def notify(self, destinations: Mapping[str, tuple[str, int]], key: Key) -> frozenset[str]:
        raise KeyboardInterrupt


def test_whoever_leaves_while_the_nodes_are_woken_is_told_of_the_release() -> None:
    cluster = Cluster(Impatient())
    cluster.can_be_woken()
    with pytest.raises(Interrupted, match="release 2 is made, and its rollout continues"):
        cluster.steering.restart("again")
    assert built.ledger(cluster.store).head() == 2


def test_what_is_not_quarantined_needs_no_pardon() -> None:
    cluster = Cluster()
    with pytest.raises(Invalid, match="cannot retry release 1: it is stable, not quarantined"):
        cluster.steering.retry(1, "why not")
    with pytest.raises(NotFound, match="no release 9"):
        cluster.steering.retry(9, "why not")


@pytest.mark.parametrize("away", [False, True], ids=["the store answers", "the record cannot be opened"])
def test_before_the_nodes_are_woken_a_record_is_opened_which_closes_the_one_before(away: bool) -> None:
    cluster = Cluster()
    cluster.can_be_woken()
    order: list[str] = []

    def note(key: str) -> None:
        order.append(key)
        if away and key.startswith(keys.ROLLOUTS):
            raise Unreachable("no answer")

    cluster.store.before_write = note
    cluster.notifier.notify = lambda destinations, key: order.append("poke") or frozenset()  # type: ignore[method-assign,func-returns-value]
    cluster.steering.restart("wake")
    opened = [] if away else [keys.rollout_key(2)]
    assert order == [keys.release_key(2), keys.rollout_key(1), *opened, "poke"]


def test_the_nodes_are_woken_for_what_concerns_them() -> None:
    cluster = Cluster()
    cluster.can_be_woken()
    cluster.steering.restart("wake")
    cluster.steering.pause("wait")
    assert len(cluster.notifier.poked) == 1, "a pause wakes nobody"
    cluster.steering.resume("go")
    assert [dict(destinations) for destinations, _ in cluster.notifier.poked] == [{"a": ("10.0.0.7", 9001)}] * 2
