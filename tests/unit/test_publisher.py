"""From the inbox to the next release."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import pytest

from da_agent import ports
from da_agent.domain import limits
from da_agent.domain.node.notifications import Key, contact
from da_agent.domain.node.reports import Phase, Report
from da_agent.domain.store import keys
from da_agent.domain.store.inboxes import Entry, Inbox, inbox_of
from da_agent.errors import Invalid, NotFound, NotHere, OutcomeUnknown, StoreDamaged, TimedOut, Unreachable
from da_agent.workflows.publish import pushes
from da_agent.workflows.publish.drafts import Draft, Drafts, overlaid
from da_agent.workflows.publish.pushes import InboxWrites
from da_agent.workflows.records import reports
from da_agent.workflows.records.ledgers import Ledger
from tests import built
from tests.fake_nodes import FakeResolver, FakeSnapshots
from tests.fakes import FakeClock, FakeNotifier, MemoryBlobs, MemoryStore, MemoryTransfers, SilentProgress

KEY = Key(b"of this cluster")


@dataclass
class Cluster:
    """A store in memory and one who publishes."""

    store: MemoryStore = field(default_factory=MemoryStore)
    clock: FakeClock = field(default_factory=FakeClock)
    resolver: FakeResolver = field(default_factory=FakeResolver)
    notifier: FakeNotifier = field(default_factory=FakeNotifier)

    def __post_init__(self) -> None:
        self.snapshots = FakeSnapshots(self.store)
        self.clock.on_wait = lambda _: self.pass_time()
        self.drafts = drafts = Drafts(
            snapshots=self.snapshots,
            resolver=self.resolver,
            progress=SilentProgress(),
            now=self.store.clock,
            trusted=tuple,
            handshake=lambda _: None,
        )
        self.blobs = MemoryBlobs()
        transfers = MemoryTransfers(self.store, self.blobs)
        notifications = built.notifications(self.store, self.notifier, lambda: KEY, self.clock)
        self.rollouts = built.rollouts(self.store, iter(map(str, count())).__next__)
        self.publisher = built.publisher(
            self.store,
            transfers,
            drafts,
            self.clock,
            notifications,
            rollouts=self.rollouts,
            who="me",
            nonce=iter("abcdefghij").__next__,
        )
        self.pushes = built.pushes(self.store, drafts, self.publisher, built.leases(self.store, holder="me", nonce="x"))

    def pass_time(self) -> None:
        self.store.now += self.clock.waits[-1]

    def put(self, files: Mapping[str, bytes]) -> None:
        for key, data in files.items():
            self.store.write(key, data, ports.Always())

    @property
    def ledger(self) -> Ledger:
        return built.ledger(self.store)


def test_an_inbox_becomes_a_release_with_its_blobs() -> None:
    cluster = Cluster()
    cluster.put({"config.yml": b"a: 1\n", "packages/requirements.txt": b"six\n"})
    verdict = cluster.publisher.publish("test")
    assert verdict.release == 1
    release = cluster.ledger.read(1)
    assert [wheel.name for wheel in release.contents.wheels] == ["six"]
    assert cluster.store.read(keys.blob_key(release.contents.config)).data == b"a: 1\n"


def listening(cluster: Cluster, name: str) -> None:
    there = contact(name, "10.0.0.7:9001", KEY)
    report = Report(name, "host", "", None, None, Phase.SERVING, None, "", "", cluster.clock.now(), contact=there)
    reports.send(cluster.store, report)


def test_a_new_release_is_poked_about_when_it_is_in_the_ledger_and_the_verdict_is_known() -> None:
    cluster = Cluster()
    listening(cluster, "a")
    order: list[str] = []
    cluster.store.after_write = order.append
    cluster.notifier.notify = lambda destinations, key: order.append("poke") or frozenset()  # type: ignore[method-assign,func-returns-value]
    cluster.put({"config.yml": b"a: 1\n"})
    assert cluster.publisher.publish("test").release == 1
    assert order[-4:] == [keys.release_key(1), keys.VERDICT, keys.rollout_key(1), "poke"]


def test_nobody_is_poked_for_an_inbox_that_is_refused_or_that_changes_nothing() -> None:
    cluster = Cluster()
    listening(cluster, "a")
    cluster.put({"config.yml": b"a: [\n"})
    assert cluster.publisher.publish("test").mistakes
    assert cluster.notifier.poked == []
    cluster.put({"config.yml": b"a: 1\n"})
    cluster.publisher.publish("test")
    assert len(cluster.notifier.poked) == 1
    cluster.put({"config.yml": b"a: 2\n"})
    cluster.put({"config.yml": b"a: 1\n"})
    assert cluster.publisher.publish("test").release == 1
    assert len(cluster.notifier.poked) == 1


def test_a_damaged_report_or_a_deaf_node_does_not_keep_a_release_from_being_made() -> None:
    cluster = Cluster()
    listening(cluster, "a")
    cluster.notifier.deaf = {"a"}
    cluster.put({"config.yml": b"a: 1\n", keys.node_key("b"): b"{"})
    assert cluster.publisher.publish("test").release == 1
    assert [dict(addresses) for addresses, _ in cluster.notifier.poked] == [{"a": ("10.0.0.7", 9001)}]


def test_nobody_publishes_before_the_inbox_has_been_quiet() -> None:
    cluster = Cluster()
    cluster.put({"config.yml": b"a: 1\n"})
    cluster.publisher.publish("test")
    assert sum(wait.total_seconds() for wait in cluster.clock.waits) >= 3


def test_uploads_one_after_the_other_become_one_release() -> None:
    cluster = Cluster()
    cluster.put({"config.yml": b"a: 1\n"})

    def upload_more(number: int) -> None:
        cluster.pass_time()
        if number < 4:
            cluster.put({"config.yml": f"a: {number + 1}\n".encode()})

    cluster.clock.on_wait = upload_more
    assert cluster.publisher.publish("test").release == 1
    assert cluster.ledger.head() == 1
    assert cluster.store.read(keys.blob_key(cluster.ledger.read(1).contents.config)).data == b"a: 4\n"


def test_the_same_inbox_is_published_once() -> None:
    cluster = Cluster()
    cluster.put({"config.yml": b"a: 1\n"})
    first = cluster.publisher.publish("test")
    assert cluster.publisher.publish("again") == first
    assert cluster.ledger.head() == 1


def damaged(cluster: Cluster, body: bytes | None) -> str:
    """The key of the newest release's configuration, of which the store has `body` now, or nothing."""
    key = keys.blob_key(cluster.ledger.read(1).contents.config)
    if body is None:
        cluster.store.delete(key)
    else:
        cluster.store.write(key, body, ports.Always())
    return key


@pytest.mark.parametrize("body", [None, b"a: 7\n", b""], ids=["missing", "other bytes", "cut"])
def test_what_the_store_has_lost_is_put_back_by_whoever_pushes_or_publishes_the_same_again(body: bytes | None) -> None:
    cluster = Cluster()
    cluster.put({"config.yml": b"a: 1\n"})
    cluster.publisher.publish("test")
    key = damaged(cluster, body)
    assert cluster.publisher.publish("again", mend=True).release == 1
    assert cluster.store.read(key).data == b"a: 1\n"
    key = damaged(cluster, body)
    assert cluster.pushes.push(lambda _: pushes.config(b"a: 1\n"), "again").release == 1
    assert cluster.store.read(key).data == b"a: 1\n"
    assert cluster.ledger.head() == 1


def test_a_poll_does_not_read_every_blob_again() -> None:
    cluster = Cluster()
    cluster.put({"config.yml": b"a: 1\n"})
    cluster.publisher.publish("test")
    key = damaged(cluster, None)
    assert cluster.publisher.publish("again").release == 1
    with pytest.raises(NotFound):
        cluster.store.read(key)


def test_what_is_no_longer_in_the_inbox_is_put_back_by_a_machine_that_has_it_or_named() -> None:
    cluster = Cluster()
    cluster.put({"config.yml": b"a: 1\n"})
    cluster.publisher.publish("test")
    key = damaged(cluster, None)
    blob = cluster.ledger.read(1).contents.config
    ledger, first = cluster.ledger, cluster.ledger.read(1)
    cluster.put({"config.yml": b"a: 2\n"})
    assert cluster.publisher.publish("test").release == 2
    ledger.append(replace(first, number=3, nonce="back", rollback_of=1))
    with pytest.raises(
        StoreDamaged, match=rf"cannot repair release 3 .*{key}; da-agent publish, on a node that still has"
    ):
        cluster.publisher.publish("again", mend=True)
    cluster.blobs.bodies[blob] = b"a: 1\n"
    assert cluster.publisher.publish("again", mend=True).release == 2
    assert cluster.store.read(key).data == b"a: 1\n"
    assert ledger.head() == 3


def test_contents_that_are_served_already_make_no_release() -> None:
    cluster = Cluster()
    cluster.put({"config.yml": b"a: 1\n"})
    cluster.publisher.publish("test")
    cluster.put({"config.yml": b"a: 1\n"})
    assert cluster.publisher.publish("again").release == 1
    assert cluster.ledger.head() == 1


def test_a_refusal_is_remembered_and_changes_nothing() -> None:
    cluster = Cluster()
    cluster.put({"config.yml": b"a: 1\n"})
    cluster.publisher.publish("test")
    cluster.put({"config.yml": b"a: 1\na: 2\nda agent:\n  surprise: 1\n", "packages/requirements.txt": b"-r other\n"})
    verdict = cluster.publisher.publish("bad")
    assert verdict.release is None
    assert len(verdict.mistakes) >= 2
    assert cluster.ledger.head() == 1
    assert cluster.publisher.publish("bad again") == verdict


def test_an_inbox_without_a_configuration_is_refused() -> None:
    cluster = Cluster()
    cluster.put({"packages/requirements.txt": b"six\n"})
    assert "config.yml" in cluster.publisher.publish("test").mistakes[0]


def test_packages_are_resolved_again_only_when_their_part_of_the_inbox_changed() -> None:
    cluster = Cluster()
    cluster.put({"config.yml": b"a: 1\n", "packages/requirements.txt": b"six\n"})
    cluster.publisher.publish("test")
    cluster.resolver.error = NotHere("no index")
    cluster.put({"config.yml": b"a: 2\n"})
    assert cluster.publisher.publish("config only").release == 2
    assert cluster.ledger.read(2).contents.wheels == cluster.ledger.read(1).contents.wheels
    assert cluster.snapshots.fetched.count("packages/requirements.txt") == 1


@pytest.mark.parametrize("error", [NotHere("no uv"), Unreachable("the index does not answer")])
def test_what_cannot_be_resolved_here_is_left_to_others_and_not_remembered(error: Exception) -> None:
    cluster = Cluster()
    cluster.put({"config.yml": b"a: 1\n", "packages/requirements.txt": b"six\n"})
    cluster.resolver.error = error
    with pytest.raises(NotHere):
        cluster.publisher.publish("test")
    assert built.inboxes(cluster.store).verdict() is None
    cluster.resolver.error = None
    assert cluster.publisher.publish("another").release == 1


def test_an_inbox_that_changes_while_it_is_read_is_read_again() -> None:
    cluster = Cluster()
    cluster.put({"config.yml": b"a: 1\n", "packages/requirements.txt": b"six\n"})
    original = cluster.snapshots.take
    changes = iter([b"a: 2\n"])

    def take(entries: object, overlay: object) -> object:
        for change in changes:
            cluster.put({"config.yml": change})
        return original(entries, overlay)  # type: ignore[arg-type]

    cluster.snapshots.take = take  # type: ignore[method-assign, assignment]
    assert cluster.publisher.publish("test").release == 1
    assert cluster.store.read(keys.blob_key(cluster.ledger.read(1).contents.config)).data == b"a: 2\n"


def test_an_inbox_that_never_rests_is_given_up_with_a_sentence() -> None:
    cluster = Cluster()
    cluster.put({"config.yml": b"a: 1\n"})
    original = cluster.snapshots.take
    numbers = iter(range(1000))

    def take(entries: object, overlay: object) -> object:
        cluster.put({"config.yml": f"a: {next(numbers)}\n".encode()})
        return original(entries, overlay)  # type: ignore[arg-type]

    cluster.snapshots.take = take  # type: ignore[method-assign, assignment]
    with pytest.raises(TimedOut, match="keeps changing"):
        cluster.publisher.publish("test")


def test_two_who_publish_at_once_make_one_release() -> None:
    cluster = Cluster()
    other = Cluster(cluster.store)
    cluster.put({"config.yml": b"a: 1\n"})
    original = cluster.snapshots.take
    racing = iter([other])

    def take(entries: object, overlay: object) -> object:
        for each in racing:
            each.publisher.publish("the other one")
        return original(entries, overlay)  # type: ignore[arg-type]

    cluster.snapshots.take = take  # type: ignore[method-assign, assignment]
    assert cluster.publisher.publish("test").release == 1
    assert cluster.ledger.head() == 1


def test_an_empty_store_gets_its_first_configuration_once() -> None:
    store = MemoryStore()
    assert built.first_configuration(store, lambda: b"a: 1\n")
    assert not built.first_configuration(store, lambda: b"a: 2\n")
    assert store.read("config.yml").data == b"a: 1\n"


def test_an_unreachable_store_gets_no_configuration() -> None:
    store = MemoryStore()
    store.failing = Unreachable("no answer")
    with pytest.raises(Unreachable):
        built.first_configuration(store, lambda: b"a: 1\n")


def test_a_push_is_validated_before_anything_is_written() -> None:
    cluster = Cluster()
    cluster.put({"config.yml": b"a: 1\n"})
    with pytest.raises(Invalid):
        cluster.pushes.push(lambda _: pushes.config(b"a: [\n"), "test")
    assert cluster.store.read("config.yml").data == b"a: 1\n"


def test_a_push_is_written_and_published() -> None:
    cluster = Cluster()
    cluster.put({"config.yml": b"a: 1\n"})
    assert cluster.pushes.push(lambda _: pushes.config(b"a: 2\n"), "test").release == 1
    assert cluster.store.read("config.yml").data == b"a: 2\n"


def test_a_push_over_somebody_elses_change_is_refused() -> None:
    cluster = Cluster()
    cluster.put({"config.yml": b"a: 1\n"})

    def change(_: Inbox) -> InboxWrites:
        cluster.put({"config.yml": b"a: 3\n"})
        return pushes.config(b"a: 2\n")

    with pytest.raises(Invalid, match="another process"):
        cluster.pushes.push(change, "test")
    assert cluster.store.read("config.yml").data == b"a: 3\n"


def test_a_push_that_cannot_be_resolved_here_is_left_in_the_inbox() -> None:
    cluster = Cluster()
    cluster.put({"config.yml": b"a: 1\n"})
    cluster.resolver.error = NotHere("no index")
    with pytest.raises(NotHere):
        cluster.pushes.push(lambda inbox: pushes.packages(inbox, b"", ("six",), {}), "test")
    assert cluster.store.read("packages/requirements.txt").data == b"six\n"
    assert cluster.ledger.head() is None


def test_a_distribution_replaces_the_others_of_its_name() -> None:
    cluster = Cluster()
    cluster.put({"config.yml": b"a: 1\n", "packages/thing-2.0-py3-none-any.whl": b"2"})
    inbox = built.inboxes(cluster.store).list()
    made = pushes.packages(inbox, b"", (), {"thing-1.0-py3-none-any.whl": Path("thing-1.0-py3-none-any.whl")})
    assert made.deletes == {"packages/thing-2.0-py3-none-any.whl"}


def test_removing_takes_the_line_and_the_distribution() -> None:
    cluster = Cluster()
    cluster.put({"packages/thing-2.0-py3-none-any.whl": b"2"})
    inbox = built.inboxes(cluster.store).list()
    made = pushes.without(inbox, b"six\nthing>1\n", "Thing")
    assert made.deletes == {"packages/thing-2.0-py3-none-any.whl"}
    assert made.puts == {"packages/requirements.txt": b"six\n"}
    with pytest.raises(Invalid, match="no package"):
        pushes.without(inbox, b"six\n", "other")


def test_folder_markers_and_hidden_files_are_no_part_of_the_inbox() -> None:
    store = MemoryStore()
    litter = ("certs/", "certs/.x.swp", "certs/a.crt~", "certs/.git/config", "certs/old~/a.crt", "packages/_$folder$")
    for key in (*litter, "certs/a.crt", "files/x"):
        store.write(key, b"", ports.Always())
    assert [entry.key for entry in inbox_of(store.scan("")).entries] == ["certs/a.crt"]


def test_an_empty_object_that_is_a_folder_for_others_is_a_marker() -> None:
    cluster = Cluster()
    cluster.put({"config.yml": b"a: 1\n", "certs/empty.csr": b""})
    cluster.put({"certs/mail": b"", "certs/mail/deep": b"", "certs/mail/deep/exim.csr": b"x"})
    cluster.publisher.publish("test")
    assert [file.name for file in cluster.ledger.read(1).contents.certificates] == ["empty.csr", "mail/deep/exim.csr"]
    pushed = overlaid(built.inboxes(cluster.store).list(), {"certs/empty.csr/a.csr": b"x"}, ())
    assert [entry.key for entry in pushed.below("certs/empty.csr")] == ["certs/empty.csr/a.csr"]


def test_a_file_that_would_have_to_be_a_folder_too_is_refused_by_name() -> None:
    cluster = Cluster()
    cluster.put({"config.yml": b"a: 1\n", "certs/mail": b"x", "certs/mail/readme.txt": b"x", "certs//a.txt": b"x"})
    verdict = cluster.publisher.publish("test")
    assert verdict.release is None
    assert verdict.mistakes == (
        "certs//a.txt: no part of a name may be empty, . or ..: rename it",
        "certs/mail is a file, and certs/mail/readme.txt lies in a folder of that name: rename or delete one of them",
    )


def test_a_damaged_release_does_not_block_the_next_one() -> None:
    cluster = Cluster()
    cluster.put({"config.yml": b"a: 1\n"})
    assert cluster.publisher.publish("test").release == 1
    cluster.put({keys.release_key(2): b"damaged", "config.yml": b"a: 2\n"})
    assert cluster.publisher.publish("test").release == 3
    cluster.put({"config.yml": b"a: 3\n"})
    assert cluster.pushes.push(lambda _: pushes.config(b"a: 4\n"), "push").release == 4


def test_whoever_writes_without_a_pause_is_waited_for_only_so_long() -> None:
    cluster = Cluster()
    cluster.put({"config.yml": b"a: 1\n"})

    def write(number: int) -> None:
        cluster.pass_time()
        cluster.put({"config.yml": f"a: {number}\n".encode()})

    cluster.clock.on_wait = write
    with pytest.raises(TimedOut, match="it keeps changing"):
        cluster.publisher.publish("test")
    assert sum(wait.total_seconds() for wait in cluster.clock.waits) < 70


def test_packages_are_not_resolved_for_a_machine_that_is_like_no_node() -> None:
    cluster = Cluster()

    def admit(_: object) -> None:
        raise NotHere("another machine")

    cluster.drafts._admit = admit
    cluster.put({"config.yml": b"a: 1\n"})
    assert cluster.publisher.publish("configuration alone").release == 1
    cluster.put({"packages/requirements.txt": b"six\n"})
    with pytest.raises(NotHere):
        cluster.publisher.publish("test")
    assert cluster.ledger.head() == 1


def test_what_fails_behind_the_append_does_not_hide_that_the_release_is_published() -> None:
    cluster = Cluster()
    cluster.put({"config.yml": b"a: 1\n"})

    def vanish(key: str) -> None:
        if key == keys.release_key(1):
            cluster.store.failing = Unreachable("connection reset")

    cluster.store.after_write = vanish
    assert cluster.pushes.push(lambda _: pushes.config(b"a: 2\n"), "test").release == 1
    cluster.store.failing = None
    assert cluster.publisher.publish("a node").release == 1


def test_pushes_that_build_on_each_other_are_made_again() -> None:
    cluster = Cluster()
    cluster.put({"config.yml": b"a: 1\n", "packages/requirements.txt": b"six\n"})
    others = iter([b"six\nattrs\n", b"six\nattrs\nidna\n"])

    def change(inbox: Inbox) -> InboxWrites:
        text = cluster.store.read("packages/requirements.txt").data
        for other in others:
            cluster.put({"packages/requirements.txt": other})
            break
        return pushes.packages(inbox, text, ("kiosk",), {})

    assert cluster.pushes.push(change, "test").release == 1
    assert cluster.store.read("packages/requirements.txt").data == b"six\nattrs\nidna\nkiosk\n"


def test_a_write_whose_answer_is_lost_is_found_again() -> None:
    cluster = Cluster()
    cluster.put({"config.yml": b"a: 1\n"})

    def lose(key: str) -> None:
        if key == keys.CONFIG:
            cluster.store.after_write = lambda _: None
            raise OutcomeUnknown("no answer")

    cluster.store.after_write = lose
    assert cluster.pushes.push(lambda _: pushes.config(b"a: 2\n"), "test").release == 1


def test_an_inbox_with_too_many_objects_or_a_package_that_is_too_large_is_refused_before_it_is_read() -> None:
    cluster = Cluster()
    cluster.put({"config.yml": b"a: 1\n"} | {f"certs/{number}": b"" for number in range(limits.OBJECTS)})
    verdict = cluster.publisher.publish("test")
    assert verdict.mistakes == ("the inbox has 10001 objects, and may have 10000: delete some",)
    assert cluster.snapshots.fetched == []
    large = Inbox((Entry("packages/a-1.zip", limits.DISTRIBUTION + 1, "1", cluster.store.now),))
    with pytest.raises(Invalid, match=r"packages/a-1\.zip has 4294967297 bytes, and may have 4294967296"):
        cluster.drafts.prepare(Draft(large, {}, {}), None).__enter__()
