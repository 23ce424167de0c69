"""What each command prints with `--json`, and what it says of input that it cannot use."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from da_agent.__main__ import command
from da_agent.adapters.dev_clusters import DevCluster
from da_agent.adapters.directory_store import DirectoryStore
from da_agent.domain.store import keys
from da_agent.errors import AgentError
from da_agent.ports import Always
from tests import clusters_of_witnesses
from tests.fakes import MemoryStore
from tests.members import Member
from tests.unit.test_views import GOLDEN as FOLDER


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A store with two releases and a node that serves the second, a new configuration, and a cluster for `dev`."""
    with clusters_of_witnesses.folder() as made:
        fill(made)
        yield made


def fill(folder: Path) -> None:
    (folder / "store").mkdir()
    there = DirectoryStore(folder / "store")
    store = MemoryStore()
    node = Member(store, "web-1")
    for title in ("a", "b"):
        store.write(keys.CONFIG, f"title: {title}\n".encode(), Always())
        node.reconciler.cycle()
    for entry in store.scan(""):
        there.write(entry.key, store.read(entry.key).data, Always())
    (folder / "new.yml").write_bytes(b"title: c\n")
    DevCluster.create(folder / "dev", nodes=1, environment={})


def run(folder: Path, line: str) -> Result:
    environment = {
        "DA_AGENT_STORE": (folder / "store").as_uri(),
        "DA_AGENT_ROOT": str(folder / "root"),
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    return CliRunner().invoke(command, line.format(folder=folder).split(" "), env=environment)


COMMANDS = {
    "status": "status",
    "why web-1": "why",
    "history": "history",
    "show": "show",
    "diff 1": "diff",
    "plan config {folder}/new.yml": "plan",
    "gc --dry-run": "gc",
    "doctor store": "doctor_store",
    "dev status --root {folder}/dev": "dev_status",
}


def test_every_answer_is_printed_by_a_command() -> None:
    assert sorted(COMMANDS.values()) == sorted(path.stem for path in FOLDER.iterdir())


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_prints_one_object_of_format_1_with_the_keys_of_the_committed_file(folder: Path, line: str) -> None:
    done = run(folder, f"{line} --json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    committed = json.loads((FOLDER / f"{COMMANDS[line]}.json").read_bytes())
    assert (list(found), found["format"]) == (list(committed), 1)


@pytest.mark.parametrize("line", COMMANDS)
def test_without_it_a_command_prints_lines(folder: Path, line: str) -> None:
    done = run(folder, line)
    assert done.exit_code == 0, done.output
    assert done.stdout.strip()
    assert not done.stdout.startswith("{")


def test_a_store_without_a_release_has_an_empty_history(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    assert json.loads(run(tmp_path, "history --json").stdout) == {"format": 1, "releases": [], "problems": []}
    assert run(tmp_path, "history").stdout == "There is no release yet.\n"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("status --watch --json", "--watch and --json do not go together"),
        ("history --limit 0", "0 is not in the range x>=1"),
        ("history --limit many", "'many' is not a valid integer"),
        ("show 0", "0 is not in the range x>=1"),
        ("diff", "Missing argument 'BEFORE'"),
        ("push config {folder}/new.yml --timeout -1", "-1 is not in the range"),
        ("push config {folder}/new.yml --timeout 99999999999999", "is not in the range"),
        ("push config {folder}/no.yml", "does not exist"),
        ("plan certs {folder}/new.yml", "is a file"),
        ("dev --nodes 0", "0 is not in the range"),
        ("pause --reason \udcff", "it is not UTF-8 text"),
    ],
)
def test_wrong_usage_is_a_sentence_and_exit_code_2(folder: Path, line: str, sentence: str) -> None:
    done = run(folder, line)
    assert (done.exit_code, done.stdout) == (2, "")
    assert sentence in done.stderr


@pytest.mark.parametrize(
    ("line", "exit_code", "sentence"),
    [
        ("show 9", 8, "there is no release 9 in "),
        ("show 99999999999999999999999999", 8, "there is no release 99999999999999999999999999 in "),
        ("diff 1 9", 8, "there is no release 9 in "),
        ("why web-9", 8, "there is no node web-9 in "),
        ("why ../web-1", 8, "there is no node ../web-1 in "),
        ("status --store ftp://host/store", 3, "the store's URL must begin with file:/// or s3://"),
        ("history --store file://{folder}/nowhere", 6, "{folder}/nowhere"),
        ("dev status --root {folder}/nowhere", 8, "there is no cluster below {folder}/nowhere"),
        ("plan package x.whl", 3, "there is no such file: x.whl"),
        ("plan certs {folder}/cache", 3, "there are no files in {folder}/cache"),
    ],
)
def test_input_that_cannot_be_used_is_one_line_and_has_an_exit_code(
    folder: Path, line: str, exit_code: int, sentence: str
) -> None:
    (folder / "cache").mkdir(exist_ok=True)
    done = run(folder, line)
    assert isinstance(done.exception, AgentError), done.output
    assert done.exception.exit_code == exit_code
    assert sentence.format(folder=folder) in str(done.exception)
    assert "\n" not in str(done.exception)
