"""What a command imports: the command line starts quickly because it leaves alone what it does not need."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from da_agent.adapters.directory_store import DirectoryStore
from da_agent.domain.store import keys
from da_agent.ports import Always

HEAVY = frozenset(
    {"boto3", "botocore", "cryptography", "jinja2", "packaging", "psutil", "rich", "supervisor", "watchdog", "yaml"}
)
_RUN = """\
import atexit, sys
from da_agent.__main__ import main
atexit.register(lambda: print("imported:", *{name.partition(".")[0] for name in sys.modules}))
main()
"""


def imported(*arguments: str, said: str = "", **variables: str) -> set[str]:
    """The libraries that a command imports, which prints `said` among other things."""
    done = subprocess.run(
        [sys.executable, "-c", _RUN, *arguments],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said in done.stdout
    return set(done.stdout.rpartition("imported:")[2].split())


@pytest.fixture
def store(tmp_path: Path) -> str:
    """One that has something to show."""
    (tmp_path / "store").mkdir()
    DirectoryStore(tmp_path / "store").write(keys.CONFIG, b"name: a\n", Always())
    return (tmp_path / "store").as_uri()


def test_asking_for_help_imports_no_library_but_click() -> None:
    found = imported("--help")
    assert "click" in found
    assert found & (HEAVY | {"msgspec"}) == set()


@pytest.mark.parametrize("arguments", [("status",), ("status", "--json"), ("history",)])
@pytest.mark.parametrize("root", ["no node", "node"])
def test_looking_at_a_directory_store_imports_neither_boto3_nor_what_only_nodes_need(
    store: str, tmp_path: Path, arguments: tuple[str, ...], root: str
) -> None:
    if root == "node":
        (tmp_path / "root" / "agent").mkdir(parents=True)
    found = imported(*arguments, DA_AGENT_ROOT=str(tmp_path / "root"), DA_AGENT_STORE=store)
    assert "msgspec" in found
    assert found & HEAVY == set()


_FOLLOWER = """\
import sys
from da_agent.wiring import NodeAgent
NodeAgent().reconciler
print("imported:", *sys.modules)
"""


def test_a_node_that_follows_imports_neither_what_makes_releases_nor_what_reads_certificates(
    store: str, tmp_path: Path
) -> None:
    (tmp_path / "root" / "agent").mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-c", _FOLLOWER],
        env={**os.environ, "DA_AGENT_ROOT": str(tmp_path / "root"), "DA_AGENT_STORE": store},
        capture_output=True,
        text=True,
        check=True,
    )
    found = set(done.stdout.rpartition("imported:")[2].split())
    assert "da_agent.workflows.publish.inbox_leader" in found
    assert (
        found & {"boto3", "cryptography", "da_agent.workflows.publish.publisher", "da_agent.workflows.publish.drafts"}
        == set()
    )


def test_completing_a_command_imports_no_library_but_click() -> None:
    found = imported(said="plain,status", _DA_AGENT_COMPLETE="bash_complete", COMP_WORDS="da-agent sta", COMP_CWORD="1")
    assert "click" in found
    assert found & (HEAVY | {"msgspec"}) == set()
