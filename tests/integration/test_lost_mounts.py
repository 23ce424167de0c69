"""An admin's commands on a folder that is not the store that it was."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from da_agent.adapters.conformance import UsedStoreFolder
from da_agent.adapters.directory_store import DirectoryStore
from da_agent.domain.node.node_states import NodeState
from da_agent.domain.node.reports import Phase
from da_agent.wiring import NodeAgent
from da_agent.workflows.records import reports

CONFIG = "secretkey: abcdefghijklmnop\n"


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder on another file system than that of `tmp_path`, as a mount is."""
    path = Path(tempfile.mkdtemp(prefix="da-store-", dir="/dev/shm"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def environment(tmp_path: Path, store: Path) -> dict[str, str]:
    return {
        **os.environ,
        "DA_AGENT_STORE": f"file://{store}",
        "DA_AGENT_ROOT": str(tmp_path / "root"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }


def da_agent(variables: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "da_agent", *arguments)
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)


def push(tmp_path: Path, variables: dict[str, str], text: str = CONFIG) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "config.yml"
    path.write_text(text)
    return da_agent(variables, "push", "config", str(path), "--no-wait")


def names_below(path: Path) -> list[str]:
    return sorted(str(each.relative_to(path)) for each in path.rglob("*"))


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Path]:
    """Where the command keeps what it knows of this store; away afterwards, for root has one such folder."""
    machine = NodeAgent(environment(tmp_path, tmp_path / "mount"))
    used = machine.used_stores
    assert isinstance(used, UsedStoreFolder)
    path = Path(used.place(machine.store.name))
    yield path
    path.unlink(missing_ok=True)


def test_a_push_into_the_empty_folder_below_a_lost_mount_is_refused_and_writes_nothing(
    tmp_path: Path, elsewhere: Path, kept: Path
) -> None:
    mount, below = tmp_path / "mount", tmp_path / "below"
    mount.symlink_to(elsewhere)
    variables = environment(tmp_path, mount)
    first = push(tmp_path, variables)
    assert first.returncode == 0, first.stderr
    below.mkdir()
    mount.unlink()
    mount.symlink_to(below)
    for arguments in (("plan",), ("publish",), ("gc",), ("restart",)):
        refused = da_agent(variables, *arguments)
        assert (refused.returncode, "it has no release" in refused.stderr) == (6, True), refused.stderr
    refused = push(tmp_path, variables)
    assert refused.returncode == 6
    assert f"Mount the store again; to start over in this one, rm {kept}" in refused.stderr
    assert names_below(below) == []
    mount.unlink()
    mount.symlink_to(elsewhere)
    again = push(tmp_path, variables, f"{CONFIG}greeting: hello\n")
    assert again.returncode == 0, again.stderr
    assert "release 2" in again.stdout


def test_a_person_who_wants_to_begin_anew_follows_the_remedy(tmp_path: Path, elsewhere: Path, kept: Path) -> None:
    mount = tmp_path / "mount"
    mount.symlink_to(elsewhere)
    variables = environment(tmp_path, mount)
    assert push(tmp_path, variables).returncode == 0
    mount.unlink()
    mount.mkdir()
    assert push(tmp_path, variables).returncode == 6
    kept.unlink()
    done = push(tmp_path, variables)
    assert done.returncode == 0, done.stderr
    assert "release 1" in done.stdout


def test_a_folder_that_was_emptied_in_its_place_takes_a_push(tmp_path: Path) -> None:
    store = tmp_path / "store"
    variables = environment(tmp_path, store)
    for _ in range(2):
        store.mkdir()
        done = push(tmp_path, variables)
        assert done.returncode == 0, done.stderr
        shutil.rmtree(store)


def test_a_push_on_a_node_that_has_served_more_than_the_store_has_is_refused(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    variables = environment(tmp_path, store)
    machine = NodeAgent(variables)
    machine.prepare()
    machine.node_states.save(NodeState(live=3))
    refused = push(tmp_path, variables)
    assert refused.returncode == 6
    assert "has no release, but this node has served release 3" in refused.stderr
    assert names_below(store) == []
    # Another store than the node's own is none of its business.
    other = tmp_path / "other"
    other.mkdir()
    path = tmp_path / "config.yml"
    done = da_agent(variables, "push", "config", str(path), "--no-wait", "--store", f"file://{other}")
    assert done.returncode == 0, done.stderr


def test_a_push_into_a_folder_with_reports_of_releases_that_are_not_there_is_refused(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    variables = environment(tmp_path, store)
    report = NodeAgent(variables | {"DA_AGENT_NODE": "web-1"}).report()
    # What a node writes when it starts below its lost mount, before it looks at the ledger.
    reports.send(DirectoryStore(store), replace(report, release=7, phase=Phase.SERVING))
    refused = push(tmp_path, variables)
    assert refused.returncode == 6
    assert "it has no release, but web-1 reports release 7" in refused.stderr
    assert not (store / "config.yml").exists()
