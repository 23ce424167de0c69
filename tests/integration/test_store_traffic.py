"""What running commands ask of the store and of other machines, each with its own key: docs/security.md says the same.

One cluster is recorded through a proxy, from its first start until its node has left. The server enforces the policies
of examples/policies.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from da_agent.adapters.dev_clusters import DevCluster, DevNode
from tests import certificates, packages, servers, trust
from tests.clusters_of_witnesses import agent, create, folder, running, section
from tests.proxies import Proxy, Request, proxy
from tests.supervisorctl import supervisorctl, wait_for
from tests.trust import Asked, Deed

pytestmark = pytest.mark.xdist_group("one cluster for store traffic")

PREFIX = "clusters/one/"
POLICIES = {path.stem: path.stem for path in trust.POLICIES.glob("*.json")} | {"here": "node"}
"""The policy of each key. `here` is for commands on a node, which have the key of the node."""
SETTINGS = {"poll interval": 1, "quiet period": 0, "start timeout": 30, "drain": 1, "min healthy": 0}
FORBIDDEN = 4
QUARANTINED = 14
GC_LOCK = ".agent/gc-lock.json"

HOOK = """\
import os, sys

def hook(event, arguments):
    if event in ("socket.connect", "socket.sendto"):
        with open(os.environ["DA_TEST_CONNECTIONS"], "a") as file:
            file.write(f"{arguments[1]!r}\\n")

sys.addaudithook(hook)
"""
"""sitecustomize of a command: it notes every address that the command connects to, or sends a datagram to."""

RARE: Mapping[str, Mapping[Deed, str]] = {
    "rollback": {
        Deed("writes", "blobs/"): "a damaged blob is put back",
        **{Deed(verb, "conformance/"): "the machine knows the store" for verb in trust.VERBS},
    },
    "forget": {
        Deed("reads", "nodes/"): "other nodes are notified",
        Deed("writes", "rollouts/"): "the node has a slot",
    },
    "initialize": {
        Deed("writes", "twins/"): "another machine has the name",
        Deed("deletes", "twins/"): "it had the name",
    },
    "install_certs": {
        Deed("reads", "config.yml"): "there is no release yet",
        Deed("reads", "certs/"): "there is no release yet",
    },
}
"""What the page says of commands, and does not happen here: by the first command of a row, with the condition."""


class Record:
    """A cluster, its keys, and all that was asked of the store."""

    def __init__(self, server: servers.S3Server, store: Proxy, home: Path) -> None:
        self.store = store
        self.home = home
        self.asked: list[Asked] = []
        self.deeds: dict[str, set[Deed]] = defaultdict(set)
        """What each command did, by its first word."""
        self.failed: list[str] = []
        """Each command of a key that did not end as its policy allows."""
        self.notifying: set[str] = set()
        self.elsewhere: set[str] = set()
        """What commands connected to that is neither the store nor the port for notifications."""
        location = server.bucket(PREFIX.rstrip("/"))
        self.bucket = location.bucket
        self.keys = {
            name: server.user(name, trust.policy(policy, location.bucket, PREFIX)) for name, policy in POLICIES.items()
        }
        self.clients = {name: server.client(key) for name, key in self.keys.items()}
        self.cluster: DevCluster = create(
            home, 1, replace(location, endpoint_url=store.url).url, self.variables("node")
        )
        store.answered = self._hear
        (home / "hooks").mkdir()
        (home / "hooks" / "sitecustomize.py").write_text(HOOK)

    @property
    def node(self) -> DevNode:
        return self.cluster.nodes[0]

    def _hear(self, request: Request, status: int) -> None:
        self.asked.append(trust.asked(request, status, PREFIX))

    def variables(self, name: str) -> Mapping[str, str]:
        key, secret = self.keys[name]
        return {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_DEFAULT_REGION": servers.REGION}

    def of(self, name: str) -> list[Asked]:
        return [each for each in self.asked if each.key == self.keys[name][0]]

    def run(self, name: str, *arguments: str, ends: int = 0) -> None:
        """Run a command with the key `name`, whose policy allows it."""
        code, text, asked = self._run(name, *arguments)
        if code != ends or any(each.status == 403 for each in asked):
            self.failed.append(f"{' '.join(arguments)} with the key {name}: {code} {text}")
        self.deeds[arguments[0]] |= {each.deed for each in asked if not each.listing}

    def refuse(self, name: str, *arguments: str) -> None:
        """Run a command with the key `name`, whose policy does not allow it: one sentence, and nothing is changed."""
        code, text, asked = self._run(name, *arguments)
        changed = [each for each in asked if each.method != "GET" and each.status < 400 and each.target != GC_LOCK]
        if code != FORBIDDEN or changed or "Traceback" in text:
            self.failed.append(f"{' '.join(arguments)} with the key {name} is not refused: {code} {text} {changed}")

    def _run(self, name: str, *arguments: str) -> tuple[int, str, list[Asked]]:
        before, noted = len(self.asked), self.home / "connections"
        noted.write_text("")
        hooks = {"PYTHONPATH": str(self.home / "hooks"), "DA_TEST_CONNECTIONS": str(noted)}
        done = agent(self.cluster, *arguments, variables={**hooks, **self.variables(name)})
        noted_here = {place for place in noted.read_text().splitlines() if not place.startswith("'/")}
        places = noted_here - {f"('127.0.0.1', {self.store.url.rpartition(':')[2]})"}
        if f"('127.0.0.1', {self.node.seat.notify_port})" in places:
            places.remove(f"('127.0.0.1', {self.node.seat.notify_port})")
            self.notifying.add(arguments[0])
        self.elsewhere |= {f"{arguments[0]} connects to {place}" for place in places}
        asked = [each for each in self.asked[before:] if each.key == self.keys[name][0]]
        return done.returncode, done.stdout + done.stderr, asked

    def put(self, name: str, key: str, body: bytes) -> None:
        """As another tool does it with the key `name`."""
        self.clients[name].put_object(Bucket=self.bucket, Key=PREFIX + key, Body=body)

    def configuration(self, serial: int) -> str:
        path = self.home / "config.yml"
        path.write_text(f"secretkey: abcdefghijklmnop\nserial: {serial}\n{section(SETTINGS)}")
        return str(path)

    def wheel(self, version: str) -> Path:
        return packages.wheel(self.home, "gift", version, {"gift": f"VERSION = {version!r}\n"})

    def newest(self) -> str:
        written = [each.target for each in self.asked if each.method == "PUT" and "releases/" in each.target]
        return str(int(written[-1].rpartition("/")[2].removesuffix(".json")))


@pytest.fixture(scope="module")
def record() -> Iterator[Record]:
    with servers.ministack() as server, proxy(server.endpoint_url) as store, folder() as home:
        made = Record(server, store, home)
        with running(made.cluster):
            beside_a_node(made)
            made.node.begin_to_stop()
            made.node.join()
        without_nodes(made)
        yield made


def beside_a_node(record: Record) -> None:
    run, refuse, name = record.run, record.refuse, record.node.name
    record.cluster.wait(1)
    first, second = (certificates.issue(None, ["localhost"]) for _ in range(2))
    record.put("uploader", "certs/docassemble.crt", first.pem)
    record.put("uploader", "certs/docassemble.key", first.key)
    record.put("uploader", "packages/gift-1-py3-none-any.whl", record.wheel("1").read_bytes())
    record.cluster.wait(2)
    run("publisher", "push", "config", record.configuration(1))
    run("monitor", "status")
    run("monitor", "why", name)
    run("monitor", "history")
    looking: tuple[tuple[str, ...], ...] = (("show",), ("diff", "1", "2"), ("plan", "config", record.configuration(2)))
    for command in looking:
        refuse("monitor", *command)
        run("here", *command)
    for other in ("monitor", "gc", "uploader", "application"):
        refuse(other, "push", "config", record.configuration(2))
    for other in ("monitor", "gc"):
        refuse(other, "pause", "--reason", "x")
    (record.home / "certs").mkdir()
    (record.home / "certs" / "docassemble.crt").write_bytes(second.pem)
    (record.home / "certs" / "docassemble.key").write_bytes(second.key)
    run("publisher", "push", "certs", str(record.home / "certs"), "--no-wait")
    run("publisher", "push", "package", str(record.wheel("2")), "--no-wait")
    run("publisher", "remove", "package", "gift", "--no-wait")
    run("publisher", "publish", "--no-wait")
    run("publisher", "rollback", "--no-wait")
    run("publisher", "restart", "--no-wait")
    run("publisher", "pause", "--reason", "x")
    run("publisher", "resume")
    config = Path(record.configuration(3))
    config.write_text(config.read_text() + '  health command: "false"\n')
    run("publisher", "push", "config", str(config), ends=QUARANTINED)
    run("publisher", "retry", record.newest(), "--reason", "x")
    run("admin", "push", "config", record.configuration(4), "--no-wait")
    run("admin", "doctor", "store")
    run("here", "install_certs")
    for program in ("update", "install_certs"):
        supervisorctl(record.node, "start", program)
        wait_for(record.node, program, "EXITED")


def without_nodes(record: Record) -> None:
    # No node publishes what comes into the inbox now.
    record.put("uploader", "config.yml", Path(record.configuration(5)).read_bytes())
    record.put("uploader", "packages/gift-3-py3-none-any.whl", record.wheel("3").read_bytes())
    record.run("publisher", "plan")
    for _ in range(5):
        record.run("publisher", "restart", "--no-wait")
    report = record.clients["admin"].get_object(
        Bucket=record.bucket, Key=f"{PREFIX}.agent/left/{record.node.name}.json"
    )
    body = report["Body"].read()
    record.put("admin", f".agent/twins/{record.node.name}.json", body)
    record.run("publisher", "status")
    record.refuse("publisher", "forget", record.node.name)
    record.put("admin", f".agent/blobs/sha256/00/{'0' * 64}", b"")
    record.store.ahead = timedelta(days=2)
    record.refuse("publisher", "gc")
    record.refuse("here", "gc")
    record.run("gc", "gc")
    record.put("admin", ".agent/nodes/ghost.json", b"")
    record.store.ahead = timedelta(days=40)
    record.run("gc", "gc")
    record.store.ahead = timedelta()
    record.put("admin", f".agent/left/{record.node.name}.json", body)
    record.run("admin", "forget", record.node.name)


@pytest.mark.seconds(300)
def test_each_key_runs_the_commands_that_it_is_for_and_no_other_changes_anything(record: Record) -> None:
    assert record.failed == []


def test_a_node_works_with_the_policy_of_nodes(record: Record) -> None:
    assert [each for each in record.of("node") if each.status == 403] == []


@pytest.mark.parametrize("row", trust.traffic(), ids=" ".join)
def test_the_page_tells_the_traffic_of_each_command(record: Record, row: tuple[str, ...]) -> None:
    recorded = set().union(*(record.deeds[command] for command in row))
    if "sync" in row:
        recorded = {each.deed for each in record.of("node") if not each.listing}
    told, rare = trust.traffic()[row], RARE.get(row[0], {}).keys()
    assert recorded - told == set(), "asked, and not on the page"
    assert told - rare - recorded == set(), "on the page, and never asked"


def test_commands_list_only_the_inbox_and_their_own_records(record: Record) -> None:
    listed = {each.target for each in record.asked if each.listing}
    assert {target for target in listed if not target.startswith(".agent/")} == {"c", "packages/"}


def test_a_key_may_list_every_object_that_it_finds_missing(record: Record) -> None:
    """Amazon answers 403 instead of 404 where the key's own name is no prefix that the policy lets list."""
    for name, policy in POLICIES.items():
        patterns = trust.listed(policy, PREFIX)
        missing = {each.target for each in record.of(name) if each.status == 404}
        for target in missing:
            assert any(fnmatchcase(PREFIX + target, pattern) for pattern in patterns), (name, target)


def test_a_release_is_only_ever_created(record: Record) -> None:
    writes = [each for each in record.asked if "/releases/" in each.target and each.method == "PUT"]
    assert len(writes) > 10
    assert [each for each in writes if not each.created_only] == []


def test_commands_connect_to_the_store_and_to_nodes_that_they_notify_and_to_nothing_else(record: Record) -> None:
    assert record.elsewhere == set()
    # `publish` only where no node was faster, and `forget` only the nodes that are left.
    assert record.notifying | {"publish", "forget"} == trust.notifying()
