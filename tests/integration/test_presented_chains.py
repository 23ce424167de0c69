"""What a real Apache presents of certificate files, and what the agent expects of it."""

from collections.abc import Iterator

import pytest

from da_agent import handshakes
from da_agent.adapters.apache import handshakes as apaches_handshakes
from da_agent.domain.certificates.pem_blocks import read
from da_agent.domain.certificates.server_chains import ServerChain
from da_agent.errors import NodeBroken, ReleaseBroken
from tests.certificates import Authority, authority, issue, rsa_key
from tests.integration.apaches import Web, hello, web

ROOT = authority("Root")
MIDDLE = authority("Middle", by=ROOT)
OTHER = authority("Other", by=ROOT)
LEAF = issue(MIDDLE, ["a.example.org"])


@pytest.fixture
def node() -> Iterator[Web]:
    with web() as made:
        yield made


def certificates(data: bytes) -> tuple[bytes, ...]:
    return tuple(block.data for block in read(data, "x"))


def files(certificate: bytes, chain: bytes | None = None) -> dict[str, bytes]:
    found = {"docassemble.crt": certificate, "docassemble.key": LEAF.key}
    return found if chain is None else {**found, "docassemble.ca.pem": chain}


def test_the_agent_knows_what_apache_presents(node: Web) -> None:
    layouts = [
        (LEAF.pem, None),
        (LEAF.pem, MIDDLE.pem),
        (LEAF.pem + MIDDLE.pem, None),
        (LEAF.pem, MIDDLE.pem + ROOT.pem),
        (LEAF.pem + MIDDLE.pem, MIDDLE.pem + ROOT.pem),
        (LEAF.pem + MIDDLE.pem, OTHER.pem),
        (LEAF.pem, MIDDLE.pem + MIDDLE.pem),
        (LEAF.pem, LEAF.pem + MIDDLE.pem),
        (LEAF.pem + OTHER.pem + ROOT.pem, MIDDLE.pem),
    ]
    for number, (certificate, chain) in enumerate(layouts, 1):
        node.stage(number, hello("one"), files(certificate, chain), config="a: 1\n")
        node.serve(number)
        wanted = apaches_handshakes.chain(node.paths.release(number))
        assert wanted is not None
        shown = handshakes.presented("127.0.0.1", node.node.https_port, 10)
        assert shown == wanted.certificates, f"layout {number}"


def test_a_server_that_presents_the_leaf_alone_does_not_serve_the_release(
    node: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.stage(1, hello("one"), files(LEAF.pem))
    node.stage(2, hello("one"), files(LEAF.pem, MIDDLE.pem))
    node.serve(1)
    monkeypatch.setattr(apaches_handshakes, "PATIENCE", 0.2)
    apaches_handshakes.wait_for(node.paths.release(1), "127.0.0.1", node.node.https_port)
    with pytest.raises(NodeBroken, match="does not present the certificates in"):
        apaches_handshakes.wait_for(node.paths.release(2), "127.0.0.1", node.node.https_port)


def weak(kind: str) -> tuple[Authority, bytes, bytes]:
    """The root, and files that OpenSSL refuses."""
    middle = authority("Middle", by=ROOT, private=rsa_key(1024) if kind == "intermediate" else None)
    leaf = issue(middle, ["a.example.org"], private=rsa_key(1024) if kind == "server" else None)
    key = issue(middle, ["a.example.org"]).key if kind == "pair" else leaf.key
    return ROOT, leaf.pem + middle.pem, key


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("intermediate", "OpenSSL cannot serve it: ca key too small: get certificates with RSA keys of at least 2048"),
        ("server", "OpenSSL cannot serve it: ee key too small: get certificates with RSA keys of at least 2048"),
        ("pair", "OpenSSL cannot serve it: key values mismatch: put the key there that belongs to the certificate"),
    ],
)
def test_a_handshake_finds_before_apache_what_apache_refuses(node: Web, kind: str, reason: str) -> None:
    _, chain, key = weak(kind)
    found = handshakes.rehearse(ServerChain(certificates(chain), key))
    assert found is not None
    assert found.startswith(reason)
    node.stage(1, hello("one"), {"docassemble.crt": chain, "docassemble.key": key})
    with pytest.raises(ReleaseBroken, match="its certificate cannot be served: OpenSSL cannot serve it"):
        node.apache.rehearse(1)


def test_a_handshake_with_a_client_that_trusts_another_root_fails() -> None:
    stranger = certificates(authority("Stranger").pem)[0]
    chain = ServerChain(certificates(LEAF.pem + MIDDLE.pem), LEAF.key, stranger)
    found = handshakes.rehearse(chain)
    assert found is not None
    assert found.startswith("TLS clients refuse the chain: ")
    trusted = ServerChain(chain.certificates, chain.key, certificates(ROOT.pem)[0])
    assert handshakes.rehearse(trusted) is None
    assert LEAF.key.decode() not in repr(chain)
