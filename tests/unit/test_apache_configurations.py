"""What Apache and the loader are told, by settings, node and certificates."""

import json
import shlex
from configparser import RawConfigParser
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from da_agent.adapters.apache import command
from da_agent.adapters.apache.configurations import check_node, http, tls, web_server, webapp
from da_agent.domain.config.settings import Settings
from da_agent.domain.config.visitors import Visitors
from da_agent.domain.node.nodes import Node
from da_agent.domain.node.paths import Paths
from da_agent.domain.packages.wheels import Target
from da_agent.domain.release.releases import Contents, Release
from da_agent.domain.store.blobs import File, blob_of
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


def render(node: Node = NODE, settings: Settings | None = None) -> str:
    return web_server(node, PATHS, settings or Settings())


def render_tls(*certificates: str, number: int = 1, node: Node = NODE) -> str:
    return tls(node, PATHS, release(number, *certificates), Settings()) or ""


def render_http(*certificates: str, node: Node = NODE, **visitors: Any) -> str:
    return http(node, PATHS, release(1, *certificates), Settings(visitors=Visitors(**visitors)))


def serves(made: Release, config: bytes = b"a: 1\n", settings: Settings | None = None, node: Node = NODE) -> Any:
    return json.loads(webapp(node, PATHS, made, settings or Settings(), config))["serves"]


def test_the_application_listens_on_the_loopback_alone() -> None:
    listeners = [line for line in render().splitlines() if line.startswith("Listen ")]
    assert listeners == [f"Listen {NODE.loopback}:{port} http" for port in (8801, 8802)]
    assert NODE.loopback.startswith("127.")


def test_nodes_of_one_machine_have_loopback_addresses_of_their_own() -> None:
    roots = [replace(NODE, root=Path(f"/srv/{number}")) for number in range(100)]
    assert len({node.loopback for node in roots}) == 100
    assert replace(NODE, http_port=81).loopback != NODE.loopback


def test_the_front_for_http_listens_for_visitors() -> None:
    text = render_http()
    assert "Listen 0.0.0.0:8080 http\n" in text
    assert f'ProxyPass / "http://{NODE.loopback}:8801/"' in text
    assert "SSLEngine" not in text


def test_without_a_pair_there_is_no_https() -> None:
    assert tls(NODE, PATHS, release(1, "docassemble.crt"), Settings()) is None


def test_headers_are_believed_from_no_address_that_is_not_named() -> None:
    assert "RemoteIP" not in render_http().replace("remoteip", "")
    assert "SetEnvIfExpr" not in render_http()
    text = render_http(proxies=("10.0.0.0/8", "::1/128"))
    assert "RemoteIPInternalProxy 10.0.0.0/8 ::1/128\n" in text
    assert "-ipmatch '10.0.0.0/8' || %{CONN_REMOTE_ADDR} -ipmatch '::1/128'\" DA_AGENT_TRUSTED" in text


@pytest.mark.parametrize(
    ("certificates", "visitors", "wanted"),
    [
        ((), {}, None),
        ((), {"use_https": True}, None),
        (("apache.crt", "apache.key"), {}, None),
        (("apache.crt", "apache.key"), {"use_https": True}, 'RewriteRule ^ "https://%1:8443%2"'),
        (("apache.crt", "apache.key"), {"use_https": True, "host": "a.org"}, 'RewriteRule ^ "https://a.org:8443%2"'),
        ((), {"behind_balancer": True, "proxies": ("10.0.0.1/32",)}, 'RewriteRule ^ "https://%1%2"'),
    ],
)
def test_plain_http_is_redirected_where_https_is_wanted_and_there(
    certificates: tuple[str, ...], visitors: dict[str, Any], wanted: str | None
) -> None:
    text = render_http(*certificates, **visitors)
    assert (wanted or "RewriteRule ^ -") in text
    assert ("R=301" in text) == (wanted is not None)


@pytest.mark.parametrize(("use_https", "hsts", "sent"), [(False, 9, False), (True, 9, True), (True, 0, False)])
def test_browsers_are_told_to_keep_to_https_where_it_is_wanted(use_https: bool, hsts: int, sent: bool) -> None:
    settings = Settings(visitors=Visitors(use_https=use_https, hsts=timedelta(seconds=hsts)))
    text = tls(NODE, PATHS, release(1, "apache.crt", "apache.key"), settings) or ""
    assert ('Strict-Transport-Security "max-age=9"' in text) == sent


def test_with_a_pair_https_presents_it_from_the_release_that_is_defined_at_start() -> None:
    text = render_tls("apache.crt", "apache.key", "apache.ca.pem")
    assert "Listen 0.0.0.0:8443 https\n" in text
    assert 'SSLCertificateFile "${RELEASE}/certs/apache.crt"' in text
    assert 'SSLCertificateKeyFile "${RELEASE}/certs/apache.key"' in text
    assert 'SSLCertificateChainFile "${RELEASE}/certs/apache.ca.pem"' in text
    assert f'ProxyPass / "http://{NODE.loopback}:8801/"' in text


def test_a_pair_without_a_chain_names_none() -> None:
    assert "SSLCertificateChainFile" not in render_tls("docassemble.crt", "docassemble.key")


def test_equal_contents_have_equal_fingerprints_whatever_the_number() -> None:
    one, two = (release(number, "docassemble.crt", "docassemble.key") for number in (1, 2))
    assert serves(one) == serves(two)


def test_each_change_shows_in_the_fingerprint_of_what_it_concerns() -> None:
    pair = ("docassemble.crt", "docassemble.key")
    before = serves(release(1, *pair))

    def changed(after: Any) -> set[str]:
        return {name for name, value in after.items() if value != before[name]}

    assert changed(serves(release(1, *pair, data=b"2"))) == {"certificates"}
    assert changed(serves(release(1))) == {"certificates"}
    assert changed(serves(release(1, *pair), settings=Settings(visitors=Visitors(body=9)))) == {
        "certificates",
        "http",
        "web_server",
    }
    trusting = Settings(visitors=Visitors(proxies=("10.0.0.1/32",)))
    assert changed(serves(release(1, *pair), settings=trusting)) == {"certificates", "http"}
    assert changed(serves(release(1, *pair, "database.pem"))) == set()
    assert changed(serves(release(1, *pair), config=b"a: 2\n")) == {"application"}
    assert changed(serves(release(1, *pair), config=b"a: 1 # one\nda agent: {quiet period: 1}\n")) == set()
    assert changed(serves(release(1, *pair), settings=Settings(application="other:app"))) == {"application"}
    assert changed(serves(release(1, *pair), settings=Settings(threads=2))) == {"web_server"}
    assert changed(serves(release(1, *pair), settings=Settings(start_timeout=timedelta(seconds=9)))) == set()


def test_a_restart_loads_the_application_anew_once_and_what_comes_after_it_not_again() -> None:
    before = release(1)
    restart = replace(release(0), restart=True).after(1, before)
    pushed = release(0, "docassemble.crt", "docassemble.key").after(2, restart)
    again = replace(release(0), restart=True).after(3, pushed)
    found = [serves(each)["application"] for each in (before, restart, pushed, again)]
    assert found[1] == found[2]
    assert len(set(found)) == 3


def test_the_text_names_the_root_but_no_release() -> None:
    text = render() + render_tls("docassemble.crt", "docassemble.key", number=7)
    assert "/srv/node/webapp/docassemble.wsgi" in text
    assert "/srv/node/current" not in text
    assert "0000000007" not in text


def test_settings_size_the_worker_processes() -> None:
    assert " processes=3 threads=5 " in render(settings=Settings(processes=3, threads=5))


def test_an_ipv6_address_is_written_in_brackets() -> None:
    assert "Listen [::]:8080 http\n" in render_http(node=replace(NODE, address="::"))


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
    settings = Settings(application=configured, start_timeout=timedelta(seconds=9), processes=3)
    facts = json.loads(webapp(node, PATHS, release(7), settings, b"a: 1\n"))
    assert set(facts.pop("serves")) == {"application", "certificates", "web_server", "http"}
    wanted = {"release": 7, "application": taken, "application_path": "/code", "start_timeout": 9.0, "processes": 3}
    assert facts == wanted


@pytest.mark.parametrize(("program", "name"), [("apache2", "apache2.conf"), ("http", "http.conf"), ("tls", "tls.conf")])
def test_an_apache_is_started_on_its_pin_or_on_one_release(program: str, name: str) -> None:
    folder = f"/srv/node/agent/web/{program}"
    wanted = ("-DFOREGROUND", "-f", f"{folder}/{name}", "-C", f'Define RELEASE "{folder}"')
    assert command(PATHS, program)[1:] == wanted
    assert command(PATHS, program, PATHS.release(3))[3] == f"/srv/node/releases/0000000003/{name}"


@pytest.mark.parametrize("program", ["apache2", "http", "tls"])
def test_supervisor_starts_it_in_the_same_way_and_gives_it_time_for_the_last_requests(program: str) -> None:
    parser = RawConfigParser(inline_comment_prefixes=None)
    parser.read_string((resources.files("da_agent") / "supervisord.conf").read_text())
    section = parser[f"program:{program}"]
    shell, script, *words = shlex.split(section["command"].replace("%(ENV_DA_AGENT_ROOT)s", "/srv/node"))
    assert (shell, script) == ("/bin/sh", str(PATHS.start))
    assert tuple(words[:6]) == command(PATHS, program)
    last_requests = int(words[-1].removeprefix("GracefulShutdownTimeout "))
    assert last_requests < int(section["stopwaitsecs"])


def test_a_root_too_long_for_unix_sockets_is_refused_with_the_remedy() -> None:
    check_node(Paths(Path("/" + "r" * 72)))
    with pytest.raises(NodeBroken, match=r"1 bytes too long .* shorter DA_AGENT_ROOT"):
        check_node(Paths(Path("/" + "r" * 75)))


def test_a_root_with_characters_that_apache_cannot_take_is_refused() -> None:
    with pytest.raises(NodeBroken, match=r"cannot have \$ in a path"):
        check_node(Paths(Path("/srv/$node")))
