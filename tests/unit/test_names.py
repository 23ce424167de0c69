"""Which names a node may have: they are part of keys, messages and commands to paste."""

import pytest

from da_agent.domain.store import keys, names
from da_agent.errors import Invalid
from da_agent.wiring.hosts import Host

GOOD = ["web-1", "web_1.example.org", "7", "_a", "A" * 200]
BAD = ["", " ", "a b", "../a", "a/b", ".a", "-a", "a\n", "a\x1b[2J", "ü", "a" * 201, "a;rm", "$(id)", "a.json\0"]


@pytest.mark.parametrize("name", GOOD)
def test_a_name_of_a_node(name: str) -> None:
    assert names.node(name) == name
    assert Host({"DA_AGENT_NODE": name}).name == name
    assert {keys.reporter(key(name)) for key in (keys.node_key, keys.left_key, keys.twin_key)} == {name}


@pytest.mark.parametrize("name", BAD)
def test_no_name_of_a_node(name: str) -> None:
    assert keys.reporter(keys.node_key(name)) is None
    with pytest.raises(Invalid, match="the variable DA_AGENT_NODE must be a name of at most 200 letters"):
        names.node(name)


@pytest.mark.parametrize("host", ["web-1", "", "-", "Größe 1", "a" * 500, "..", "\x1b[2J"])
def test_whatever_the_machine_is_called_its_node_has_a_name(host: str) -> None:
    assert names.is_node(names.node_on(host, "abc123"))


def test_only_the_key_of_a_report_has_a_reporter() -> None:
    for key in (".agent/nodes/a", ".agent/nodes/a/b.json", ".agent/other/a.json", "a.json", ".agent/nodes/.json"):
        assert keys.reporter(key) is None
