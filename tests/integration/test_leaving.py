"""What people are told who make a release that nobody takes at once, and who leave before it is served."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from da_agent.__main__ import command
from da_agent.domain.store import keys
from da_agent.domain.store.blobs import blob_of
from da_agent.errors import Interrupted, NoLiveNodes
from da_agent.ports import Always
from da_agent.wiring import NodeAgent
from da_agent.workflows.admin import waits
from da_agent.workflows.admin.steerings import Steering
from tests import built
from tests.fake_nodes import release

CONFIG = b"name: a\n"


@pytest.fixture
def variables(desk: Path) -> Mapping[str, str]:
    """For an admin's machine, and a store that has one release."""
    found = {"DA_AGENT_STORE": f"file://{desk}/store", "DA_AGENT_ROOT": f"{desk}/nowhere"}
    (desk / "store").mkdir()
    store = NodeAgent(found).store
    store.write(keys.blob_key(blob_of(CONFIG)), CONFIG, Always())
    made = release(1)
    built.ledger(store).append(replace(made, contents=replace(made.contents, config=blob_of(CONFIG), wheels=())))
    return found


def type_(variables: Mapping[str, str], *words: str) -> Result:
    return CliRunner().invoke(command, words, env=dict(variables))


def test_whoever_makes_a_release_during_a_pause_is_told_at_once_also_without_waiting(
    variables: Mapping[str, str],
) -> None:
    assert "No node updates" not in type_(variables, "restart", "--no-wait").output
    assert type_(variables, "pause", "--reason", "night").exit_code == 0
    said = type_(variables, "restart", "--no-wait")
    assert said.exit_code == 0, said.output
    assert "Release 3 has the contents of release 2" in said.output
    assert "No node updates: the cluster is paused by" in said.output
    assert "night; da-agent resume ends the pause." in said.output


def test_a_restart_of_nobody_is_not_done(variables: Mapping[str, str]) -> None:
    said = type_(variables, "restart")
    assert isinstance(said.exception, NoLiveNodes), said.output


def reject(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("owner", "name", "told"),
    [
        (Steering, "restart", "interrupted; da-agent history shows whether the release was made"),
        (waits, "until_stable", "stopped waiting; the rollout of release 2 continues"),
    ],
)
def test_ctrl_c_says_what_goes_on_all_the_same(
    variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, owner: object, name: str, told: str
) -> None:
    monkeypatch.setattr(owner, name, reject)
    said = type_(variables, "restart")
    assert isinstance(said.exception, Interrupted), said.output
    assert said.exception.exit_code == 130
    assert told in str(said.exception)
