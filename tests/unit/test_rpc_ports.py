"""supervisord's own parser reads what is written for it."""

import hashlib
from configparser import RawConfigParser
from dataclasses import replace

import hypothesis
import pytest
from hypothesis import strategies as st

from da_agent.domain.config import configurations
from da_agent.domain.node import rpc_ports
from da_agent.domain.node.rpc_ports import Credentials
from da_agent.domain.node.variables import parse_node
from da_agent.errors import Invalid

NODE = parse_node({"DA_AGENT_RPC_PORT": "9001", "DA_AGENT_RPC_ADDRESS": "10.0.0.7"}, root=True)
WORDS = Credentials("admin", "word")


def given(username: str, password: str) -> Credentials | None:
    return rpc_ports.given({"DASUPERVISORUSERNAME": username, "DASUPERVISORPASSWORD": password})


def test_both_variables_make_credentials_and_one_alone_makes_none() -> None:
    assert given("admin", "word") == WORDS
    for username, password in (("", "word"), ("admin", ""), ("admin", "null"), ("None", "word"), ("", "")):
        assert given(username, password) is None
    assert rpc_ports.given({}) is None


def test_the_section_of_the_configuration_says_the_same() -> None:
    for text, expected in (
        ("supervisor:\n  username: admin\n  password: word\n", WORDS),
        ("supervisor:\n  username: admin\n  password: null\n", None),
        ("supervisor:\n  password: word\n", None),
        ("supervisor: {}\n", None),
        ("a: 1\n", None),
    ):
        assert rpc_ports.configured(configurations.parse(text.encode())) == expected, text


@pytest.mark.parametrize("username", ["a:b", "a b", "a%b", "ä", "a;b", "a\nb"])
def test_a_user_name_that_would_be_read_as_something_else_is_refused_and_the_password_is_not_told(
    username: str,
) -> None:
    with pytest.raises(Invalid, match="user name") as refused:
        given(username, "hunter2")
    assert "hunter2" not in str(refused.value)


def test_a_password_is_not_shown_by_accident() -> None:
    assert "word" not in repr(WORDS)


def test_a_node_without_a_port_needs_no_password() -> None:
    assert rpc_ports.section(replace(NODE, rpc_port=None), None) is None
    assert rpc_ports.section(replace(NODE, rpc_port=None), WORDS) is None


def test_a_port_without_a_password_is_refused_with_the_remedy() -> None:
    with pytest.raises(Invalid, match=r"cannot open port 9001 .* without a password: set DASUPERVISORUSERNAME"):
        rpc_ports.section(NODE, None)


@hypothesis.given(password=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_supervisord_reads_every_password_as_it_is(password: str) -> None:
    section = rpc_ports.section(NODE, Credentials("admin", password))
    assert section is not None
    # As in supervisor.options.UnhosedConfigParser.
    parser = RawConfigParser(inline_comment_prefixes=(";", "#"), strict=False)
    parser.read_string(section.decode("ascii"))
    assert {name: value % {} for name, value in parser["inet_http_server"].items()} == {
        "port": "10.0.0.7:9001",
        "username": "admin",
        "password": "{SHA}" + hashlib.sha1(password.encode()).hexdigest(),
    }
