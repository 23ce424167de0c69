"""A configuration whose bytes are wrong in a real directory store: every way to it says so, and none uses it."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from da_agent.__main__ import command
from da_agent.domain.node.rpc_ports import Credentials
from da_agent.domain.store import keys
from da_agent.domain.store.blobs import blob_of
from da_agent.errors import StoreDamaged
from da_agent.ports import Always
from da_agent.wiring import NodeAgent
from tests.fake_nodes import contents, release

CONFIG = b"supervisor:\n  username: them\n  password: right\nda agent:\n  canary: 3\n"
WRONG = CONFIG.replace(b"right", b"wrong").replace(b"canary: 3", b"canary: 1")


@pytest.fixture
def variables(desk: Path) -> Mapping[str, str]:
    """For a machine without a release, and a store that has one, whose configuration was changed since."""
    found = {"DA_AGENT_STORE": f"file://{desk}/store", "DA_AGENT_ROOT": f"{desk}/root"}
    (desk / "store").mkdir()
    (desk / "root").mkdir()
    machine = NodeAgent(found)
    machine.store.write(keys.blob_key(blob_of(CONFIG)), CONFIG, Always())
    machine.ledger.append(release(1, contents(CONFIG)))
    put(found, WRONG)
    return found


def put(variables: Mapping[str, str], body: bytes) -> None:
    NodeAgent(variables).store.write(keys.blob_key(blob_of(CONFIG)), body, Always())


WAYS: Mapping[str, Callable[[NodeAgent], object]] = {
    "strategy and release command": lambda machine: machine.rollouts.open(1, machine.ledger.read(1)),
    "supervisor's password": lambda machine: machine.rpc_credentials(),
    "certificates": lambda machine: machine.certificates.install(),
    "settings": lambda machine: machine.reader.settings(machine.ledger.read(1)),
}


@pytest.mark.parametrize("way", WAYS)
def test_no_way_leads_past_the_hash(variables: Mapping[str, str], way: str) -> None:
    with pytest.raises(
        StoreDamaged, match="has other bytes than its name says, and release 1 needs it; da-agent publish"
    ):
        WAYS[way](NodeAgent(variables))
    assert NodeAgent(variables).rollouts.read(1) is None
    put(variables, CONFIG)
    WAYS[way](NodeAgent(variables))


def test_the_password_is_that_of_the_release(variables: Mapping[str, str]) -> None:
    put(variables, CONFIG)
    assert NodeAgent(variables).rpc_credentials() == Credentials("them", "right")


@pytest.mark.parametrize("words", [("show",), ("pause", "--reason", "night"), ("restart", "--no-wait")])
def test_commands_end_with_the_code_of_a_damaged_store(variables: Mapping[str, str], words: tuple[str, ...]) -> None:
    said = CliRunner().invoke(command, words, env=dict(variables))
    assert isinstance(said.exception, StoreDamaged), said.output
    assert said.exception.exit_code == 13
    assert NodeAgent(variables).ledger.numbers() == (1,)
    assert NodeAgent(variables).rollouts.read(1) is None
