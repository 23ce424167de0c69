from pathlib import Path

import pytest

from da_agent.domain.node.nodes import Node
from da_agent.domain.node.variables import parse_node
from da_agent.errors import Invalid


def mistakes(variables: dict[str, str], *, root: bool = True) -> tuple[str, ...]:
    with pytest.raises(Invalid) as refused:
        parse_node(variables, root=root)
    return refused.value.mistakes


def test_as_root_a_node_has_the_seeds_places_and_the_well_known_ports() -> None:
    assert parse_node({}, root=True) == Node(
        root=Path("/usr/share/docassemble"),
        store="",
        address="0.0.0.0",
        http_port=80,
        https_port=443,
        python=Path("/usr/bin/python3"),
        web_user="www-data",
        application=None,
        application_path=None,
        variables={},
        rpc_address="0.0.0.0",
        rpc_port=None,
        certificate_folders=(Path("/etc/ssl/docassemble"),),
        notify_address="0.0.0.0",
        notify_port=None,
        build_user="da-agent-build",
        loopback_port=801,
    )


def test_without_root_a_node_keeps_to_itself_and_to_free_ports() -> None:
    node = parse_node({}, root=False)
    assert (node.address, node.http_port, node.https_port, node.web_user) == ("127.0.0.1", 8080, 8443, None)


def test_variables_replace_the_defaults() -> None:
    variables = {
        "DA_AGENT_ROOT": "/srv/node-1",
        "DA_AGENT_STORE": "s3://bucket/prefix?region=eu",
        "DA_AGENT_ADDRESS": "::1",
        "DA_AGENT_HTTP_PORT": "1",
        "DA_AGENT_HTTPS_PORT": "65535",
        "DA_AGENT_PYTHON": "/opt/python3.11/bin/python3.11",
        "DA_AGENT_WEB_USER": "web_1",
        "DA_AGENT_BUILD_USER": "builder",
        "DA_AGENT_APPLICATION": "shop.wsgi:app",
        "DA_AGENT_APPLICATION_PATH": "/srv/shop",
        "DA_AGENT_RPC_ADDRESS": "10.0.0.7",
        "DA_AGENT_RPC_PORT": "9001",
        "DA_AGENT_LOOPBACK_PORT": "7001",
        "DA_AGENT_CERTIFICATE_FOLDERS": "/etc/ssl/docassemble:/var/www/.certs",
        "DA_AGENT_NOTIFY_ADDRESS": "10.0.0.8",
        "DA_AGENT_NOTIFY_PORT": "9002",
        "DBHOST": "db",
    }
    assert parse_node(variables, root=True) == Node(
        root=Path("/srv/node-1"),
        store="s3://bucket/prefix?region=eu",
        address="::1",
        http_port=1,
        https_port=65535,
        python=Path("/opt/python3.11/bin/python3.11"),
        web_user="web_1",
        application="shop.wsgi:app",
        application_path=Path("/srv/shop"),
        variables=variables,
        rpc_address="10.0.0.7",
        rpc_port=9001,
        certificate_folders=(Path("/etc/ssl/docassemble"), Path("/var/www/.certs")),
        notify_address="10.0.0.8",
        notify_port=9002,
        build_user="builder",
        loopback_port=7001,
    )


def test_the_root_may_be_a_directory_of_the_top() -> None:
    assert parse_node({"DA_AGENT_ROOT": "/node"}, root=False).root == Path("/node")


def test_an_empty_variable_counts_as_unset() -> None:
    names = (
        "ROOT",
        "STORE",
        "ADDRESS",
        "HTTP_PORT",
        "HTTPS_PORT",
        "PYTHON",
        "WEB_USER",
        "BUILD_USER",
        "APPLICATION",
        "RPC_ADDRESS",
        "RPC_PORT",
        "NOTIFY_ADDRESS",
        "NOTIFY_PORT",
        "LOOPBACK_PORT",
    )
    empty = {f"DA_AGENT_{name}": "" for name in names}
    node = parse_node(empty, root=False)
    assert node.root == Path("/usr/share/docassemble")
    assert node.web_user is None
    assert node.build_user is None
    assert node.application is None
    assert (node.rpc_address, node.rpc_port) == ("127.0.0.1", None)


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("ROOT", ["srv", "/", "//", "/a/../b", '/a"b', "/a b", "/a%b", "/a\nb", "/a:b"], "must be a"),
        ("ADDRESS", ["localhost", "*", "1.2.3", "1.2.3.4:80"], "must be an IP address"),
        ("HTTP_PORT", ["0", "65536", "-1", "80a", "²", "9" * 5000], "must be a port number"),
        ("HTTPS_PORT", ["0", "1.5"], "must be a port number"),
        ("RPC_ADDRESS", ["localhost", "::1", "1.2.3"], "must be an IPv4 address"),
        ("RPC_PORT", ["0", "none"], "must be a port number"),
        ("LOOPBACK_PORT", ["0", "65535", "none"], "must be a port number"),
        ("NOTIFY_ADDRESS", ["localhost", "::1"], "must be an IPv4 address: notifications know no other"),
        ("NOTIFY_PORT", ["0", "none"], "must be a port number"),
        ("PYTHON", ["python3", "./python3"], "must be an absolute path"),
        ("WEB_USER", ["root", "a b", "Web", "0"], "must be the name of a user other than root"),
        ("BUILD_USER", ["root", "a b", "0"], "must be the name of a user other than root"),
        ("APPLICATION", ["shop", "shop:", "shop:a.b", "a-b:c"], "must be MODULE:CALLABLE"),
        ("APPLICATION_PATH", ["shop"], "must be an absolute path"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_variable(name: str, values: list[str], expected: str) -> None:
    for value in values:
        (mistake,) = mistakes({f"DA_AGENT_{name}": value})
        assert mistake.startswith(f"the variable DA_AGENT_{name} {expected}"), value


def test_another_user_needs_root() -> None:
    for name in ("WEB_USER", "BUILD_USER"):
        (mistake,) = mistakes({f"DA_AGENT_{name}": "www-data"}, root=False)
        assert "must be left out unless the agent runs as root" in mistake


def test_the_application_must_not_run_as_the_build_user() -> None:
    for names in ({"BUILD_USER": "www-data"}, {"WEB_USER": "da-agent-build"}):
        (mistake,) = mistakes({f"DA_AGENT_{name}": value for name, value in names.items()})
        assert "DA_AGENT_BUILD_USER and DA_AGENT_WEB_USER must differ" in mistake


def test_the_two_ports_must_differ() -> None:
    assert mistakes({"DA_AGENT_HTTP_PORT": "443"}) == (
        "DA_AGENT_HTTP_PORT and DA_AGENT_HTTPS_PORT must differ, both are 443",
    )


def test_the_port_for_pokes_is_another_than_those_of_the_web_server() -> None:
    for port in ("80", "443"):
        (mistake,) = mistakes({"DA_AGENT_RPC_PORT": port})
        assert mistake.startswith("DA_AGENT_RPC_PORT must not be one of the web server's")


@pytest.mark.parametrize(
    ("web", "expected"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("0.0.0.0", "0.0.0.0"),
        ("::", "0.0.0.0"),
        ("::1", "127.0.0.1"),
        ("fd00::7", "127.0.0.1"),
    ],
)
def test_supervisord_is_never_easier_to_reach_than_the_web_server(web: str, expected: str) -> None:
    assert parse_node({"DA_AGENT_ADDRESS": web}, root=True).rpc_address == expected


def test_all_mistakes_come_at_once() -> None:
    found = mistakes({"DA_AGENT_ROOT": "x", "DA_AGENT_HTTP_PORT": "x", "DA_AGENT_APPLICATION": "x"})
    assert [mistake.split()[2] for mistake in found] == ["DA_AGENT_ROOT", "DA_AGENT_HTTP_PORT", "DA_AGENT_APPLICATION"]


@pytest.mark.parametrize("text", ["/", "/etc:", "certs", "/srv/tls:/", "/srv/../etc"])
def test_the_list_of_certificate_folders_has_absolute_paths_of_folders_of_their_own(text: str) -> None:
    (mistake,) = mistakes({"DA_AGENT_CERTIFICATE_FOLDERS": text})
    assert mistake.startswith("the variable DA_AGENT_CERTIFICATE_FOLDERS is a list of folders separated by colons")


@pytest.mark.parametrize("port", ["80", "79", "442"])
def test_the_loopback_has_ports_of_its_own(port: str) -> None:
    (mistake,) = mistakes({"DA_AGENT_LOOPBACK_PORT": port})
    assert mistake.startswith("DA_AGENT_LOOPBACK_PORT and the port after it must not be")
