"""What Apache and the loader are told, by settings, node and certificates."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from da_agent.adapters.apache import command
from da_agent.adapters.apache.configurations import check_node, web_server, webapp
from da_agent.domain.blobs import File, blob_of
from da_agent.domain.nodes import Node
from da_agent.domain.paths import Paths
from da_agent.domain.releases import Contents, Release, Target
from da_agent.domain.settings import Settings
from da_agent.errors import NodeBroken

PATHS = Paths(Path("/srv/node"))
NODE = Node(
    root=PATHS.root,
    store="file:///store",
    address="0.0.0.0",
    http_port=8080,
    https_port=8443,
    python=Path("/usr/bin/python3"),
    web_user=None,
    application=None,
    application_path=None,
    variables={},
)


def release(number: int, *certificates: str, data: bytes = b"") -> Release:
    files = tuple(File(name, blob_of(data)) for name in certificates)
    contents = Contents(blob_of(data), files, (), Target("3.11", "linux_x86_64"), ())
    return Release(number, "nonce", datetime(2026, 1, 1, tzinfo=UTC), "somebody", "why", contents)


def render(*certificates: str, node: Node = NODE, settings: Settings | None = None, number: int = 1) -> str:
    return web_server(node, PATHS, release(number, *certificates), settings or Settings())


def test_two_releases_have_the_same_text_when_neither_settings_nor_names_of_certificates_differ() -> None:
    one = web_server(NODE, PATHS, release(1, "docassemble.crt", "docassemble.key", data=b"1"), Settings())
    two = web_server(NODE, PATHS, release(2, "docassemble.crt", "docassemble.key", data=b"2"), Settings())
    assert one == two


def test_without_a_certificate_there_is_no_https() -> None:
    text = render("docassemble.crt")
    assert "Listen 0.0.0.0:8080\n" in text
    assert "8443" not in text
    assert "ssl" not in text.lower()


def test_with_a_pair_https_presents_it_from_the_release_that_is_defined_at_start() -> None:
    text = render("apache.crt", "apache.key", "apache.ca.pem")
    assert "Listen 0.0.0.0:8443 https\n" in text
    assert 'SSLCertificateFile "${RELEASE}/certs/apache.crt"' in text
    assert 'SSLCertificateKeyFile "${RELEASE}/certs/apache.key"' in text
    assert 'SSLCertificateChainFile "${RELEASE}/certs/apache.ca.pem"' in text


def test_a_pair_without_a_chain_names_none() -> None:
    assert "SSLCertificateChainFile" not in render("docassemble.crt", "docassemble.key")


def test_the_text_names_the_root_but_no_release() -> None:
    text = render("docassemble.crt", "docassemble.key", number=7)
    assert "/srv/node/webapp/docassemble.wsgi" in text
    assert "/srv/node/current" not in text
    assert "0000000007" not in text


def test_settings_size_the_worker_processes() -> None:
    assert " processes=3 threads=5 " in render(settings=Settings(processes=3, threads=5))


def test_an_ipv6_address_is_written_in_brackets() -> None:
    assert "Listen [::]:8080\n" in render(node=replace(NODE, address="::"))


def test_the_web_user_is_named_only_when_there_is_one() -> None:
    assert "\nUser " not in render()
    assert "\nUser www-data\nGroup www-data\n" in render(node=replace(NODE, web_user="www-data"))


def test_an_unknown_web_user_is_the_nodes_fault() -> None:
    with pytest.raises(NodeBroken, match="no such user"):
        render(node=replace(NODE, web_user="nobody-of-that-name"))


@pytest.mark.parametrize(
    ("configured", "of_the_node", "taken"),
    [(None, None, None), (None, "mine:app", "mine:app"), ("ours:app", "mine:app", "ours:app")],
)
def test_the_configuration_names_the_application_before_the_node_does(
    configured: str | None, of_the_node: str | None, taken: str | None
) -> None:
    node = replace(NODE, application=of_the_node, application_path=Path("/code"))
    facts = json.loads(webapp(node, release(7), Settings(application=configured, start_timeout=timedelta(seconds=9))))
    assert facts == {"release": 7, "application": taken, "application_path": "/code", "start_timeout": 9.0}


def test_apache_is_started_on_the_switch_or_on_one_release() -> None:
    assert command(PATHS)[1:] == (
        "-DFOREGROUND",
        "-f",
        "/srv/node/current/apache2.conf",
        "-C",
        'Define RELEASE "/srv/node/current"',
    )
    assert command(PATHS, PATHS.release(3))[3] == "/srv/node/releases/0000000003/apache2.conf"


def test_a_root_too_long_for_unix_sockets_is_refused_with_the_remedy() -> None:
    check_node(Paths(Path("/" + "r" * 72)))
    with pytest.raises(NodeBroken, match=r"1 bytes too long .* shorter DA_AGENT_ROOT"):
        check_node(Paths(Path("/" + "r" * 75)))


def test_a_root_with_characters_that_apache_cannot_take_is_refused() -> None:
    with pytest.raises(NodeBroken, match=r"cannot have \$ in a path"):
        check_node(Paths(Path("/srv/$node")))
