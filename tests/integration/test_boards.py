"""Watching a rollout at a terminal and in a log."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from da_agent.adapters.directory_store import DirectoryStore
from da_agent.domain.rollout import rollouts
from da_agent.domain.rollout.rollouts import Note
from da_agent.ports import Always
from tests import built
from tests.fakes import MemoryStore
from tests.integration.test_progress import Terminal
from tests.members import Member

WATCH = (sys.executable, "-m", "da_agent", "status", "--watch")


class Night:
    """A cluster in memory, whose store is laid into a folder for commands to look at."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.directory = directory
        self.store = MemoryStore()
        self.node = Member(self.store, "web-1")
        self.push(b"name: a\n")

    def push(self, config: bytes) -> None:
        self.node.put("config.yml", config)
        for _ in range(3):
            self.node.reconciler.cycle()

    def environment(self) -> dict[str, str]:
        laid = DirectoryStore(self.directory)
        for entry in self.store.scan(""):
            laid.write(entry.key, self.store.read(entry.key).data, Always())
        nowhere = str(self.directory.parent / "nowhere")
        return {**os.environ, "DA_AGENT_STORE": self.directory.as_uri(), "DA_AGENT_ROOT": nowhere}


@pytest.fixture
def night(tmp_path: Path) -> Night:
    return Night(tmp_path / "store")


def paused(night: Night) -> None:
    note = Note("admin@desk", night.store.clock(), "[night] shift")
    built.rollouts(night.store, lambda: "n").change(1, lambda record, *_: rollouts.pause(record, note))


def test_a_terminal_shows_a_table_of_the_nodes_until_the_verdict(night: Night) -> None:
    terminal = Terminal(*WATCH, environment=night.environment())
    assert terminal.close() == 0, terminal.text
    for part in ("Release 1: stable", "waits for, or what is wrong", "web-1", "Release 1 is stable: web-1."):
        assert part in terminal.text
    assert "\x1b[?25l" in terminal.text, "a live display hides the cursor"


def test_ctrl_c_ends_the_watching_alone_and_gives_the_terminal_back(night: Night) -> None:
    paused(night)
    night.push(b"name: b\n")
    terminal = Terminal(*WATCH, environment=night.environment())
    terminal.read_until("[night] shift", "web-1")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.close() == 130, terminal.text
    assert "the rollout continues" in terminal.text
    assert "Traceback" not in terminal.text
    assert terminal.text.rindex("\x1b[?25h") > terminal.text.rindex("\x1b[?25l"), repr(terminal.text)


def test_a_log_has_one_line_for_each_change_and_the_reason_of_a_quarantine(night: Night) -> None:
    night.node.web.unfit.add(2)
    night.push(b"name: b\n")
    done = subprocess.run(WATCH, env=night.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 14, done.stderr
    header, row = done.stdout.splitlines()
    assert "UTC Release 2: quarantined" in header
    assert "web-1: release 1, serving: failed:" in row
    assert "release 2 is quarantined: web-1:" in done.stderr
