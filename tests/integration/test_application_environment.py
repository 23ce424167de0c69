"""What a real application finds in its environment, and what a person finds in /proc of its processes."""

import json
import os
import secrets
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from da_agent.adapters.apache import processes
from da_agent.adapters.dev_clusters import DevNode
from tests.clusters_of_witnesses import LONG_AGO, create, folder, running, section
from tests.supervisorctl import supervisorctl

pytestmark = pytest.mark.seconds(20)

ALLOWED = {"PATH", "LANG", "LANGUAGE", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "CONTAINERROLE"}
ALLOWED |= {"DA_AGENT_ROOT", "DA_AGENT_NODE"}
OF_THE_AGENT = {"DA_CONFIG_FILE", "DOCASSEMBLE_CONFIG", "DA_AGENT_RELEASE", "VIRTUAL_ENV", "HOME", "USER", "LOGNAME"}
OF_OTHERS = {"PWD", "SHLVL", "OLDPWD", "_", "PYTHONDONTWRITEBYTECODE", "SERVER_SOFTWARE"}
"""What the shell and mod_wsgi set."""

SECRET = secrets.token_hex(16)


@dataclass(frozen=True)
class Shown:
    node: DevNode
    record: Path

    def imports(self) -> list[Mapping[str, object]]:
        return [json.loads(path.read_text()) for path in self.record.glob("import-*.json")]


@pytest.fixture(scope="module")
def shown() -> Iterator[Shown]:
    variables = {
        "AWS_ACCESS_KEY_ID": f"{SECRET}1",
        "AWS_SECRET_ACCESS_KEY": f"{SECRET}2",
        "AWS_SESSION_TOKEN": f"{SECRET}3",
        "S3ACCESSKEY": f"{SECRET}4",
        "S3SECRETACCESSKEY": f"{SECRET}5",
        "DBPASSWORD": f"{SECRET}6",
        "UV_INDEX_STRATEGY": f"{SECRET}7",
        "HTTPS_PROXY": f"http://user:{SECRET}8@127.0.0.1:9",
        "DA_AGENT_APPLICATION_VARIABLES": "OF_THE_SITE",
        "OF_THE_SITE": "passed on",
    }
    with folder() as path:
        record = path / "record"
        record.mkdir()
        record.chmod(0o777)
        made = create(path, 1, None, variables, "surroundings:application")
        config = Path(made.store.removeprefix("file://")) / "config.yml"
        settings = {"release command": f"env -0 >{record}/command", "quiet period": 0}
        config.write_text(f"secretkey: abcdefghijklmnop\nrecord: {record}\n{section(settings)}")
        os.utime(config, LONG_AGO)
        with running(made):
            made.wait()
            yield Shown(made.nodes[0], record)


def names(variables: Mapping[str, object]) -> set[str]:
    return {name for name in variables if not name.startswith("LC_")}


def test_the_application_finds_only_what_is_on_the_list(shown: Shown) -> None:
    imports = shown.imports()
    assert {each["check"] for each in imports} == {True, False}, "rehearsals and worker processes"
    for each in imports:
        variables = each["variables"]
        assert isinstance(variables, dict)
        assert names(variables) <= ALLOWED | OF_THE_AGENT | OF_OTHERS | {"OF_THE_SITE"}
        assert variables["OF_THE_SITE"] == "passed on"
        assert SECRET not in json.dumps(variables)


def test_a_release_command_finds_only_what_is_on_the_list(shown: Shown) -> None:
    text = (shown.record / "command").read_text()
    variables = dict(line.split("=", 1) for line in text.split("\0") if line)
    assert names(variables) <= ALLOWED | OF_THE_AGENT | OF_OTHERS | {"OF_THE_SITE"}
    assert variables["OF_THE_SITE"] == "passed on"


def test_a_request_carries_nothing_of_the_agent(shown: Shown) -> None:
    with urllib.request.urlopen(shown.node.http_url, timeout=30) as answer:
        said = answer.read().decode()
    assert json.loads(said)["REQUEST_METHOD"] == "GET"
    assert SECRET not in said


def test_the_processes_of_the_web_server_show_only_what_is_on_the_list(shown: Shown) -> None:
    parent = psutil.Process(int(supervisorctl(shown.node, "pid", "apache2")))
    workers = [psutil.Process(worker.pid) for worker in processes.workers(parent.pid)]
    assert workers
    for process in {parent, *workers, *parent.children(recursive=True)}:
        variables = _environ(process.pid)
        assert names(variables) <= ALLOWED | OF_OTHERS | {"OF_THE_SITE"}, process
        assert variables["OF_THE_SITE"] == "passed on"


def _environ(pid: int) -> dict[str, str]:
    text = Path(f"/proc/{pid}/environ").read_text()
    return dict(line.split("=", 1) for line in text.split("\0") if line)
