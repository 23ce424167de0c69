"""The main job on real input: what people put into the store is what every node serves."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from da_agent.adapters.dev_clusters import DevCluster, DevNode
from tests import packages, servers
from tests.certificates import authority, issue
from tests.clusters_of_witnesses import agent, cluster, witness
from tests.load import Load, Reply

WAIT = 120


@pytest.fixture
def two_nodes() -> Iterator[DevCluster]:
    with cluster(2, settings={"poll interval": 1, "quiet period": 1, "min healthy": 0}) as made:
        made.wait()
        yield made


def served(node: DevNode) -> str:
    """The serial number and names of the certificate that Apache presents, as openssl prints them."""
    port = node.seat.https_port
    handshake = subprocess.run(
        ("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "shop.example"),
        input=b"",
        capture_output=True,
        check=False,
    )
    return subprocess.run(
        ("openssl", "x509", "-noout", "-fingerprint", "-sha256"),
        input=handshake.stdout,
        capture_output=True,
        check=False,
    ).stdout.decode()


def fingerprint(pem: Path) -> str:
    return subprocess.run(
        ("openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", str(pem)), capture_output=True, check=True
    ).stdout.decode()


def s3cmd(server: servers.S3Server, home: Path, *arguments: str) -> None:
    key, secret = server.credentials
    address = server.endpoint_url.removeprefix("http://")
    configuration = home / "s3cfg"
    configuration.write_text(
        f"[default]\naccess_key = {key}\nsecret_key = {secret}\nhost_base = {address}\nhost_bucket = {address}\n"
        "use_https = False\nbucket_location = us-east-1\n"
    )
    subprocess.run(("s3cmd", "-c", str(configuration), *arguments), check=True, capture_output=True)


def test_certificates_that_s3cmd_uploads_are_presented_and_a_wrong_key_changes_nothing(tmp_path: Path) -> None:
    root = authority("Test CA")
    for name in ("first", "second", "third"):
        pair = issue(root, ("shop.example",))
        (tmp_path / f"{name}.crt").write_bytes(pair.pem)
        (tmp_path / f"{name}.key").write_bytes(pair.key)
    (tmp_path / "ca.pem").write_bytes(root.pem)

    with servers.ministack() as server:
        bucket = server.bucket()
        variables = server.environment()

        def put(source: str, name: str) -> None:
            s3cmd(server, tmp_path, "put", str(tmp_path / source), f"s3://{bucket.bucket}/certs/{name}")

        with cluster(2, bucket.url, variables) as made:
            made.wait()
            put("first.crt", "docassemble.crt")
            put("first.key", "docassemble.key")
            put("ca.pem", "docassemble.ca.pem")
            made.wait(2, WAIT)
            assert [served(node) for node in made.nodes] == [fingerprint(tmp_path / "first.crt")] * 2

            put("second.crt", "docassemble.crt")
            put("second.key", "docassemble.key")
            made.wait(3, WAIT)
            assert [served(node) for node in made.nodes] == [fingerprint(tmp_path / "second.crt")] * 2

            put("third.crt", "docassemble.crt")
            refused = agent(made, "publish", variables=variables)
            assert refused.returncode == 3
            assert "docassemble.key" in refused.stderr
            assert "docassemble.key" in agent(made, "status", variables=variables).stdout
            assert [served(node) for node in made.nodes] == [fingerprint(tmp_path / "second.crt")] * 2

            put("third.key", "docassemble.key")
            made.wait(4, WAIT)
            assert [served(node) for node in made.nodes] == [fingerprint(tmp_path / "third.crt")] * 2


def test_a_wheel_is_pushed_and_replaced_and_removed_without_a_failed_request(
    two_nodes: DevCluster, tmp_path: Path
) -> None:
    first = packages.wheel(tmp_path, "gift", "1.0", {"gift.py": "VERSION = '1.0'\n"})
    second = packages.wheel(tmp_path, "gift", "2.0", {"gift.py": "VERSION = '2.0'\n"})

    with Load(two_nodes.nodes[0].http_url) as load, Load(two_nodes.nodes[1].http_url) as other:
        for command, version in (
            (("push", "package", str(first)), "1.0"),
            (("push", "package", str(second)), "2.0"),
            (("remove", "package", "gift"), None),
        ):
            done = agent(two_nodes, *command)
            assert done.returncode == 0, done.stderr
            given = {"module": version, "metadata": version} if version else None
            assert [witness(node)["gift"] for node in two_nodes.nodes] == [given, given]
        for each in (load, other):
            each.wait_for(lambda reply: json.loads(reply.body)["gift"] is None, count=20)
    for each in (load, other):
        assert each.failures == []
        assert mixtures(each.replies) == []
        assert {gift_of(reply) for reply in each.replies} == {None, "1.0", "2.0"}
    assert failed_in_the_request_log(two_nodes) == []

    assert "  gift: 1.0\n" in agent(two_nodes, "show", "2").stdout
    assert "  ~ gift: 1.0 -> 2.0\n" in agent(two_nodes, "diff", "2", "3").stdout
    assert agent(two_nodes, "show", "99").returncode == 8
    assert "Store: 0 releases and 0 blobs removed, 0 bytes\n" in agent(two_nodes, "gc").stdout


def gift_of(reply: Reply) -> str | None:
    gift = json.loads(reply.body)["gift"]
    return None if gift is None else str(gift["module"])


def mixtures(replies: list[Reply]) -> list[str]:
    """Answers that were made from two releases."""
    expected = {1: None, 2: "1.0", 3: "2.0", 4: None}
    wrong = []
    for reply in replies:
        facts = json.loads(reply.body)
        version = expected[facts["release"]]
        if facts["gift"] != (version and {"module": version, "metadata": version}):
            wrong.append(reply.body)
    return wrong


def failed_in_the_request_log(made: DevCluster) -> list[str]:
    lines = [
        line for node in made.nodes for line in (node.root / "agent/log/access.log").read_text().splitlines() if line
    ]
    assert len(lines) > 100
    # The agent's own questions are no people's: a node that drains answers them with 503.
    return [line for line in lines if " status=200 " not in line and "/.well-known/da-agent" not in line]


def test_eight_nodes_that_start_in_the_same_second_make_one_release() -> None:
    with cluster(8) as made:
        made.wait(1, 300)
        answers = [witness(node) for node in made.nodes]
        history = json.loads(agent(made, "history", "--json").stdout)["releases"]
        configurations = {(node.root / "config.yml").read_bytes() for node in made.nodes}
    assert [release["number"] for release in history] == [1]
    assert {answer["release"] for answer in answers} == {1}
    assert len(configurations) == 1


def test_a_file_that_is_copied_into_the_directory_is_served_and_shown_by_status(two_nodes: DevCluster) -> None:
    store = Path(two_nodes.store.removeprefix("file://"))
    config = store / "config.yml"
    config.write_bytes(b"greeting: Copied\n" + config.read_bytes())
    two_nodes.wait(2, WAIT)
    assert [witness(node)["greeting"] for node in two_nodes.nodes] == ["Copied", "Copied"]
    assert agent(two_nodes, "publish").returncode == 0, "stable, so the nodes report it"

    config.write_bytes(b"greeting: Once\ngreeting: Twice\n")
    refused = agent(two_nodes, "publish")
    assert refused.returncode == 3
    status = json.loads(agent(two_nodes, "status", "--json").stdout)
    assert "line 2" in status["cluster"]["inbox"]["verdict"]["mistakes"][0]
    assert {seen["release"] for seen in status["cluster"]["nodes"]} == {2}
    assert [witness(node)["greeting"] for node in two_nodes.nodes] == ["Copied", "Copied"]


def test_an_application_that_cannot_be_imported_leaves_the_old_release_served(
    two_nodes: DevCluster, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.yml"
    bad.write_bytes(b"da agent:\n  application: no_such_module:application\n")
    pushed = agent(two_nodes, "push", "config", str(bad))
    assert pushed.returncode == 14
    assert "no_such_module" in pushed.stderr
    assert [witness(node)["release"] for node in two_nodes.nodes] == [1, 1]

    good = tmp_path / "good.yml"
    good.write_bytes(b"greeting: Better\n")
    assert agent(two_nodes, "push", "config", str(good)).returncode == 0
    assert [witness(node)["release"] for node in two_nodes.nodes] == [3, 3]
