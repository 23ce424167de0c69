"""Every fault of a store, injected between a node and a real S3 server; the node says it and gets over it."""

import hashlib
import itertools
import os
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from da_agent.adapters.progress import Watched
from da_agent.adapters.s3_store import Patience, S3Store
from da_agent.adapters.transfers import ParallelTransfers
from da_agent.domain import texts
from da_agent.domain.node.reports import Report
from da_agent.domain.node.targets import RETRY_REJECTED
from da_agent.domain.packages.wheels import Wheel
from da_agent.domain.release.releases import Release
from da_agent.domain.store import keys
from da_agent.domain.store.blobs import Blob, blob_of
from da_agent.domain.store.locations import S3Location
from da_agent.errors import Forbidden
from da_agent.ports import Always
from da_agent.wiring import NodeAgent
from tests import built, packages, servers
from tests.clusters_of_witnesses import cluster
from tests.fake_nodes import FakeInstallation, FakePrograms, FakeWeb
from tests.fakes import FakeClock, SilentProgress
from tests.load import Load
from tests.proxies import Choice, Fault, Proxy, Request, proxy, status
from tests.servers import S3Server
from tests.supervisorctl import supervisorctl

SIZE = 600_000


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with servers.ministack() as running:
        yield running


class Disk:
    """What the worker processes find when they start."""

    def __init__(self, machine: NodeAgent) -> None:
        self._machine = machine

    @property
    def live(self) -> int | None:
        return self._machine.installation.current()

    @property
    def disk(self) -> dict[int, Release]:
        installation = self._machine.installation
        return {number: installation.load(number) for number in installation.staged()}


@dataclass
class Site:
    """A node whose way to the store leads through a proxy, and the store itself: `store`.

    The node soon gives up on a store that does not answer.
    """

    machine: NodeAgent
    between: Proxy
    store: S3Store
    folder: Path

    def __post_init__(self) -> None:
        self.clock = FakeClock()
        self.said = SilentProgress()
        self.web = FakeWeb(cast(FakeInstallation, Disk(self.machine)))
        self.machine.clock, self.machine.progress = self.clock, Watched(self.said)
        self.machine.web = cast(Any, self.web)
        self.machine.supervisor = self.machine.commands = FakePrograms()
        self.machine.prepare()
        location = self.machine.location
        assert isinstance(location, S3Location)
        self.machine.store = S3Store(location, patience=Patience(read=0.5, attempts=2, pace=0.5))
        self.machine.transfers = ParallelTransfers(
            self.machine.store, self.machine.blobs, self.machine.progress, pause=0.01
        )

    @property
    def served(self) -> set[int | None]:
        return set(self.web.workers_.values())

    def publish(self, number: int) -> Wheel:
        """A release with one more wheel, past the proxy."""
        ledger = built.ledger(self.store)
        path = packages.wheel(self.folder, "gift", f"{number}.0", {"gift": f'IT = "{secrets.token_hex(SIZE)}"'})
        data = path.read_bytes()
        wheel = Wheel("gift", f"{number}.0", path.name, blob_of(data))
        self.store.write(keys.blob_key(wheel.blob), data, Always())
        before = ledger.read(number - 1)
        ledger.append(
            replace(before, number=number, nonce=f"n{number}", contents=replace(before.contents, wheels=(wheel,)))
        )
        return wheel

    def check_whole(self, number: int) -> None:
        """It serves release `number`, all of it, and has nothing that is half or wrong."""
        assert self.served == {number}
        assert self.machine.installation.current() == number
        for each in self.machine.installation.staged():
            self.machine.installation.verify(each)
        kept = list(self.machine.paths.blobs.iterdir())
        assert kept
        assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in kept] == [path.name for path in kept]

    def later(self) -> str | None:
        """What goes wrong in the next cycle, after as long as a node waits for a store to be mended."""
        self.clock.time += RETRY_REJECTED
        return self.machine.reconciler.cycle()

    @property
    def reported(self) -> str:
        return next(built.node_statuses(self.store)).report.problem or ""


@pytest.fixture
def site(server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """It serves release 1."""
    location = server.bucket()
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    with proxy(server.endpoint_url) as between:
        variables = {
            **os.environ,
            "DA_AGENT_STORE": replace(location, endpoint_url=between.url).url,
            "DA_AGENT_ROOT": str(tmp_path / "node"),
            "DA_AGENT_NODE": "node",
        }
        made = Site(NodeAgent(variables), between, S3Store(location, server.credentials), tmp_path)
        greet(made.store, "First")
        # Nobody else writes to the inbox: there is nothing to wait for.
        made.machine.publisher.publish("the first", own=(keys.CONFIG,))
        assert made.machine.reconciler.cycle() is None
        made.check_whole(1)
        yield made


def everything(fault: Fault) -> Choice:
    return lambda request: fault


def blobs(fault: Fault, name: str = "") -> Choice:
    """The store is well, but for the bodies of blobs, or of the one with the sha256 `name`."""
    return lambda request: (
        fault if request.method == "GET" and keys.BLOBS in request.path and name in request.path else None
    )


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        pytest.param(None, "cannot read .*in the store s3://.*could not connect", id="connections are refused"),
        pytest.param(everything(Fault(silent=True)), "cannot read .*read timeout on endpoint", id="nothing is said"),
        pytest.param(everything(status("500 No", "InternalError")), "answers 500 InternalError", id="500"),
        pytest.param(everything(status("503 No", "SlowDown")), "answers 503 SlowDown", id="503"),
        pytest.param(
            everything(status("403 No", "AccessDenied")), "answers 403 AccessDenied.*check the credentials", id="403"
        ),
    ],
)
def test_a_store_that_is_away_is_said_with_its_last_answer_and_the_node_goes_on_once_it_is_back(
    site: Site, choice: Choice | None, sentence: str
) -> None:
    site.publish(2)
    if choice is None:
        site.between.refuse()
    else:
        site.between.choose = choice
    problem = site.machine.reconciler.cycle() or ""
    assert re.search(sentence, problem), problem
    assert "last answer of the store" in problem
    site.check_whole(1)
    site.between.mend()
    assert site.machine.reconciler.cycle() is None
    site.check_whole(2)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        pytest.param(Fault(cut=1000), "cannot read .agent/blobs/.*in the store s3://.*", id="cut after a few bytes"),
        pytest.param(Fault(pause=0.02, portion=200), "less than 32 KiB arrived", id="slow bytes"),
        pytest.param(Fault(silent=True), "cannot read .agent/blobs/.*read timeout", id="nothing is said"),
        pytest.param(status("500 No", "InternalError"), "answers 500 InternalError", id="500"),
        pytest.param(status("403 No", "AccessDenied"), "answers 403 AccessDenied", id="403"),
    ],
)
def test_a_blob_that_does_not_come_is_said_and_comes_later(site: Site, fault: Fault, sentence: str) -> None:
    site.publish(2)
    site.between.choose = blobs(fault)
    problem = site.machine.reconciler.cycle() or ""
    assert re.search(sentence, problem), problem
    assert site.reported == texts.reason(problem)
    site.check_whole(1)
    site.between.mend()
    assert site.machine.reconciler.cycle() is None
    assert site.reported == ""
    site.check_whole(2)


def test_a_body_that_is_cut_again_and_again_comes_in_pieces_and_no_byte_comes_twice(site: Site) -> None:
    wheel = site.publish(2)
    site.between.choose = blobs(Fault(cut=150_000))
    assert site.machine.reconciler.cycle() is None
    site.check_whole(2)
    asked = site.between.asked(wheel.blob.sha256)
    starts = [int((request.range or "bytes=0-").removeprefix("bytes=").removesuffix("-")) for request in asked]
    assert starts == list(range(0, wheel.blob.size, 150_000))


def test_after_the_death_of_the_agent_only_the_rest_is_asked_for(site: Site) -> None:
    wheel = site.publish(2)
    site.between.choose = blobs(Fault(cut=1000))
    site.machine.reconciler.cycle()
    kept = (site.machine.paths.partial / wheel.blob.sha256).stat().st_size
    assert 1000 <= kept <= 10_000
    site.between.mend()
    site.between.requests.clear()
    again = Site(NodeAgent(site.machine.environment), site.between, site.store, site.folder)
    again.machine.sweep()
    again.machine.transfers.fetch([wheel.blob])
    assert again.machine.blobs.has(wheel.blob)
    assert [request.range for request in site.between.asked(wheel.blob.sha256)] == [f"bytes={kept}-"]


def test_a_blob_that_the_node_has_is_never_asked_for_again(site: Site) -> None:
    first = site.publish(2)
    assert site.machine.reconciler.cycle() is None
    # The next release has it too, and so has the agent's next life.
    before = built.ledger(site.store).read(2)
    second = site.publish(3)
    older = replace(first, name="old-gift", filename=first.filename.replace("gift", "old_gift"))
    both = replace(before.contents, wheels=(older, second))
    built.ledger(site.store).append(replace(before, number=4, nonce="n4", contents=both))
    for number in (3, 4):
        assert site.machine.reconciler.cycle() is None, number
    again = Site(NodeAgent(site.machine.environment), site.between, site.store, site.folder)
    again.machine.transfers.fetch(both.blobs())
    for wheel in (first, second):
        assert len(site.between.asked(wheel.blob.sha256)) == 1


def test_wrong_bytes_are_never_used_and_named_and_the_node_converges_once_the_store_is_mended(site: Site) -> None:
    wheel = site.publish(2)
    # A configuration with wrong bytes opens no rollout; this is about what is staged.
    site.between.choose = blobs(Fault(change=lambda part: bytes(len(part))), wheel.blob.sha256)
    assert site.machine.reconciler.cycle() is None
    assert site.reported.startswith(f"release 2 cannot be taken yet: cannot use {named(wheel.blob)}… in s3://")
    assert "da-agent publish, on a node that still has it, puts it back" in site.reported
    assert not site.machine.blobs.has(wheel.blob)
    assert list(site.machine.paths.partial.iterdir()) == []
    site.check_whole(1)
    asked = len(site.between.asked(wheel.blob.sha256))
    site.machine.reconciler.cycle()
    assert len(site.between.asked(wheel.blob.sha256)) == asked, "not before a while has passed"
    site.between.mend()
    assert site.later() is None
    assert site.reported == ""
    site.check_whole(2)


@pytest.mark.parametrize(
    "fault", [status("503 No", "SlowDown"), status("500 Oh", "InternalError")], ids=["503 each", "500 each"]
)
def test_bursts_of_errors_when_reading_are_ridden_out_at_once(site: Site, fault: Fault) -> None:
    site.publish(2)
    numbers: dict[Request, int] = {}

    def every_other(request: Request) -> Fault | None:
        numbers[request] = numbers.get(request, 0) + 1
        reading = request.method in ("GET", "HEAD")
        return fault if reading and numbers[request] % 2 else None

    site.between.choose = every_other
    assert site.machine.reconciler.cycle() is None
    site.check_whole(2)


@pytest.mark.parametrize(
    "fault", [status("503 No", "SlowDown"), status("500 Oh", "InternalError")], ids=["503 each", "500 each"]
)
def test_bursts_of_errors_when_writing_too_cost_a_few_rounds(site: Site, fault: Fault) -> None:
    site.publish(2)
    numbers = itertools.count()
    site.between.choose = lambda request: fault if next(numbers) % 3 == 0 else None
    rounds = next(number for number in range(20) if site.later() is None and site.served == {2})
    assert rounds < 10
    site.check_whole(2)


def test_a_write_whose_answer_is_lost_makes_one_release(site: Site) -> None:
    lost: set[str] = set()

    def lose_the_first(request: Request) -> Fault | None:
        if request.method != "PUT" or request.path in lost:
            return None
        lost.add(request.path)
        return Fault(lost=True)

    greet(site.store, "Second")
    site.between.choose = lose_the_first
    for _ in range(3):
        site.later()
    site.between.mend()
    assert site.later() is None
    assert built.ledger(site.store).numbers() == (1, 2)
    assert any(keys.RELEASES in path for path in lost)
    assert any(keys.BLOBS in path for path in lost)
    site.check_whole(2)


def test_a_push_that_is_cut_in_the_middle_sends_only_the_rest_the_next_time(site: Site) -> None:
    bodies = {blob_of(body): body for body in (bytes([number]) * 300_000 for number in range(12))}
    sent: list[str] = []

    def stop_after_five(request: Request) -> Fault | None:
        if request.method != "PUT":
            return None
        sent.append(request.path)
        return status("403 No", "AccessDenied") if len(sent) > 5 else None

    site.between.choose = stop_after_five
    with pytest.raises(Forbidden, match="403"):
        site.machine.transfers.upload(bodies)
    there = [entry.key for entry in site.store.scan(keys.BLOBS)]
    site.between.mend()
    site.between.requests.clear()
    site.machine.transfers.upload(bodies)
    rest = {keys.blob_key(blob) for blob in bodies} - set(there)
    assert len(site.between.asked(keys.BLOBS, "PUT")) == len(rest) < len(bodies)
    for blob, body in bodies.items():
        assert site.store.read(keys.blob_key(blob)).data == body


# ---- what somebody has altered


def altered(store: S3Store, key: str, change: bytes | None = None) -> bytes:
    """What was there before one byte of it was turned, or before it was replaced by `change`."""
    data = store.read(key).data
    middle = len(data) // 2
    store.write(key, change or data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :], Always())
    return data


def test_an_altered_manifest_is_refused_by_name_and_taken_once_it_is_mended(site: Site) -> None:
    site.publish(2)
    data = altered(site.store, keys.release_key(2))
    assert site.machine.reconciler.cycle() is None
    assert keys.release_key(2) in site.reported
    site.check_whole(1)
    site.store.write(keys.release_key(2), data, Always())
    assert site.machine.reconciler.cycle() is None
    assert site.reported == ""
    site.check_whole(2)


@pytest.mark.parametrize(
    ("was", "change"),
    [
        (b'"stable"', b'"quarantined"'),
        (b'"stable"', b'"open"'),
        (b'"earlier"', b'"earliar"'),
        (b'"release": 2', b'"release": 1'),
    ],
)
def test_an_altered_record_of_a_rollout_is_obeyed_by_nobody_and_named(site: Site, was: bytes, change: bytes) -> None:
    site.publish(2)
    assert site.later() is None
    key = keys.rollout_key(2)
    data = site.store.read(key).data
    assert was in data
    altered(site.store, key, data.replace(was, change))
    for _ in range(3):
        problem = site.later()
    assert problem is not None
    assert key in problem
    site.check_whole(2)
    site.store.write(key, data, Always())
    assert site.later() is None
    site.check_whole(2)


@pytest.mark.parametrize("change", [b"{}", b"", b"\xff\xfe"])
def test_an_altered_verdict_or_report_is_written_anew(site: Site, change: bytes) -> None:
    for key in (keys.VERDICT, keys.node_key("node")):
        altered(site.store, key, change)
    for _ in range(2):
        assert site.later() is None
    assert built.ledger(site.store).numbers() == (1,)
    assert next(built.node_statuses(site.store)).report.release == 1
    site.check_whole(1)


# ---- a whole node


def test_a_real_node_serves_without_a_failed_request_while_its_store_is_away_or_wrong(server: S3Server) -> None:
    location = server.bucket()
    store = S3Store(location, server.credentials)
    greet(store, "First")
    with proxy(server.endpoint_url) as between:
        url = replace(location, endpoint_url=between.url).url
        with cluster(1, url, server.environment()) as made:
            made.wait()
            (node,) = made.nodes
            with Load(node.http_url) as load:
                between.refuse()
                greet(store, "While it was away")
                load.wait_for(lambda reply: "First" in reply.body, count=20)
                between.mend()
                node.wait(2, 60)
                wrong = blob_of(configuration("Wrong"))
                # Its blob alone: what is published with a damaged configuration before it waits for a minute.
                between.choose = blobs(Fault(change=lambda part: bytes(len(part))), wrong.sha256)
                greet(store, "Wrong")
                assert wait_for_problem(store, named(wrong)).release == 2
                load.wait_for(lambda reply: "While it was away" in reply.body, count=20)
                between.mend()
                supervisorctl(node, "start", "update")
                node.wait(3, 60)
                load.wait_for(lambda reply: "Wrong" in reply.body, count=20)
            assert load.failures == []


def configuration(greeting: str) -> bytes:
    return f"secretkey: abcdefghijklmnop\ngreeting: {greeting}\nda agent:\n  quiet period: 0\n".encode()


def greet(store: S3Store, greeting: str) -> None:
    store.write(keys.CONFIG, configuration(greeting), Always())


def named(blob: Blob) -> str:
    """The key of a blob as a reason of 200 characters shows it."""
    return keys.blob_key(blob)[: len(keys.BLOBS) + 15]


def wait_for_problem(store: S3Store, part: str) -> Report:
    """The first report of a node whose problem names `part`."""
    ends = time.monotonic() + 60
    while True:
        for report in built.every(store):
            if part in (report.problem or ""):
                return report
        assert time.monotonic() < ends, list(built.every(store))
        time.sleep(0.1)
