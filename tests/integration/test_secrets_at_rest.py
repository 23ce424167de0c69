"""What another user of a node's machine finds when it reads all that it can: never a secret."""

import json
import os
import re
import secrets
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from da_agent.adapters.dev_clusters import DevNode
from tests import packages, servers
from tests.certificates import issue
from tests.clusters_of_witnesses import cluster, folder
from tests.integration.apaches import wait_until
from tests.other_users import as_user
from tests.supervisorctl import supervisorctl, wait_for

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="without root everything runs as one user"),
    pytest.mark.seconds(40),
]

MOST = 1 << 26
"""Bytes of a file that are searched."""

APPLICATION = """
import os, sys
SECRET = {secret!r}
def application(environ, start_response):
    sys.stderr.write(SECRET + "-logged\\n")
    open(os.path.join({files!r}, "made"), "a").close()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"served"]
"""


def canary(what: str) -> str:
    return f"canary{what}{secrets.token_hex(12)}"


@dataclass(frozen=True)
class Busy:
    """A node that has served requests, over both ports, with `canaries` (by what they are in) in all its inputs."""

    node: DevNode
    canaries: Mapping[str, bytes]
    places: tuple[Path, ...]
    command_lines: frozenset[bytes]


@contextmanager
def busy() -> Iterator[Busy]:
    began = Path(tempfile.mkdtemp()).stat().st_ctime
    with folder() as path, servers.ministack() as server, watched_command_lines() as seen:
        location = server.bucket()
        client = server.client()
        token = canary("url")
        texts = {
            "configuration": canary("configuration"),
            "password": canary("password"),
            "rpc": canary("rpc"),
            "command": canary("command"),
            "package": canary("package"),
            "variable": canary("variable"),
            "store": server.credentials[1],
        }
        made = issue(None, ["localhost"])
        (path / "www").mkdir()
        (path / "application").mkdir(mode=0o777)
        (path / "application").chmod(0o777)
        code = APPLICATION.format(secret=texts["package"], files=str(path / "application"))
        wheel = packages.wheel(path, "canary", "1.0", {"canary": code})
        settings = {
            "application": "canary:application",
            "quiet period": 0,
            "poll interval": 1,
            "release command": f"sleep 1; : {texts['command']}",
            "health command": f"sleep 0.2; : {texts['command']}",
        }
        lines = [f"secretkey: {texts['configuration']}", "db:", f"  password: {texts['password']}"]
        lines += ["supervisor:", "  username: admin", f"  password: {texts['rpc']}"]
        lines += [f"web server certificate directory: {path / 'www' / 'certs'}", "da agent:"]
        lines += [f"  {name}: {json.dumps(value)}" for name, value in settings.items()]
        inbox = {
            "certs/docassemble.crt": made.pem,
            "certs/docassemble.key": made.key,
            f"packages/{wheel.name}": wheel.read_bytes(),
            "config.yml": "\n".join(lines).encode(),
        }
        wheel.unlink()
        for key, body in inbox.items():
            client.put_object(Bucket=location.bucket, Key=key, Body=body)
        variables = {**server.environment(), "DBPASSWORD": texts["variable"]}
        variables["DA_AGENT_CERTIFICATE_FOLDERS"] = str(path / "www")
        with cluster(1, location.url, variables, application=None) as made_cluster:
            node = made_cluster.nodes[0]
            made_cluster.wait()
            wait_for(node, "sync", "RUNNING")
            for url in (node.http_url, node.https_url):
                wait_until(lambda url=url: _asked(f"{url}/?token={token}"))  # type: ignore[misc]
            supervisorctl(node, "start", "install_certs")
            wait_for(node, "install_certs", "EXITED")
            texts["url"] = token
            texts["apache"] = re.findall(r'"(\w+)"', (node.root / "agent/web/secret.conf").read_text())[0]
            texts["key"] = made.key.decode().splitlines()[1]
            new = [each for each in (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm")) if each.is_dir()]
            places = [entry for each in new for entry in each.iterdir() if entry.lstat().st_ctime >= began]
            found = {name: text.encode() for name, text in texts.items()}
            yield Busy(node, found, (node.root, path, *places), frozenset(seen))


def _asked(url: str) -> bool:
    import ssl

    trusting = ssl._create_unverified_context()
    try:
        with urllib.request.urlopen(url, timeout=30, context=trusting) as answer:
            return bool(answer.read() == b"served")
    except OSError:
        return False


@contextmanager
def watched_command_lines() -> Iterator[set[bytes]]:
    """The command lines of all processes as they come and go. Every user may read these."""
    seen: set[bytes] = set()
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            for process in Path("/proc").glob("[0-9]*"):
                with suppress(OSError):
                    seen.add((process / "cmdline").read_bytes())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def found_by_another_user(places: Iterable[Path], canaries: Mapping[str, bytes]) -> list[str]:
    """Each secret that this process can read, and where."""
    found = []
    for top in places:
        for path in _files(top):
            found += [f"{name} in {path}" for name in _in(path, canaries)]
    for process in Path("/proc").glob("[0-9]*"):
        for file in ("environ", "cmdline", "maps", "status"):
            found += [f"{name} in {process / file}" for name in _in(process / file, canaries)]
    return found


def _files(top: Path) -> Iterator[Path]:
    yield top
    for current, folders, names in os.walk(top):
        yield from (Path(current) / name for name in (*folders, *names))


def _in(path: Path, canaries: Mapping[str, bytes]) -> Iterator[str]:
    text = os.fsencode(path)
    with suppress(OSError):
        if stat.S_ISREG(path.lstat().st_mode):
            with path.open("rb") as file:
                text += file.read(MOST)
    yield from (name for name, canary in canaries.items() if canary in text)


def open_sockets(top: Path) -> list[Path]:
    """The sockets below `top` that take a connection of this process."""
    return [path for path in _files(top) if _connects(path)]


def _connects(path: Path) -> bool:
    with suppress(OSError), socket.socket(socket.AF_UNIX) as mine:
        if stat.S_ISSOCK(path.lstat().st_mode):
            mine.connect(str(path))
            return True
    return False


def readable(places: Iterable[Path]) -> list[str]:
    """Files and folders of the agent that this process can read, except those that hold no secret."""
    return [str(path) for top in places for path in _files(top) if os.access(path, os.R_OK)]


@pytest.fixture(scope="module")
def site() -> Iterator[Busy]:
    with busy() as made:
        yield made


def test_another_user_finds_no_secret_in_files_sockets_and_processes(site: Busy) -> None:
    as_root = found_by_another_user([site.node.root], site.canaries)
    for name in ("configuration", "key", "package", "url", "rpc", "apache", "command"):
        assert any(each.startswith(f"{name} in ") for each in as_root), f"the canary {name} is nowhere: {as_root}"
    assert as_user("nobody", lambda: found_by_another_user(site.places, site.canaries)) == []
    assert as_user("nobody", lambda: open_sockets(site.node.root)) == []


def test_no_process_has_ever_shown_a_secret_in_its_command_line(site: Busy) -> None:
    assert any(b"sleep" in line for line in site.command_lines)
    shown = [line for line in site.command_lines for secret in site.canaries.values() if secret in line]
    assert shown == []


def test_another_user_can_list_no_folder_that_holds_contents_of_releases_or_logs(site: Busy) -> None:
    agent = site.node.root / "agent"
    private = [agent / name for name in ("blobs", "partial", "uv", "wheels", "log", "run", "web", "supervisor")]
    private += [site.node.root / "releases", site.node.root / "current" / "certs", site.node.root / "ssl"]
    assert [path for path in private if not path.exists()] == []
    assert as_user("nobody", lambda: [path for path in private if _lists(path)]) == []


def _lists(path: Path) -> bool:
    try:
        list(path.iterdir())
    except PermissionError:
        return False
    return True


@pytest.mark.parametrize("program", ["initialize", "update"])
def test_a_node_of_an_earlier_version_is_closed_when_the_agent_starts(site: Busy, program: str) -> None:
    agent = site.node.root / "agent"
    own = site.node.root / "certs"
    own.mkdir(exist_ok=True)
    own.chmod(0o750)
    opened = [own, agent / "blobs", agent / "log", agent, site.node.root / "releases"]
    before = [path.stat().st_mode for path in opened]
    for path in opened:
        path.chmod(0o755)
    supervisorctl(site.node, "start", program)
    wait_for(site.node, program, "EXITED")
    assert [path.stat().st_mode for path in opened] == before


def test_the_web_user_reads_its_release_and_can_change_nothing_in_it(site: Busy) -> None:
    release = site.node.root / "current"
    read: Callable[[], bytes] = (release / "config.yml").read_bytes
    assert site.canaries["configuration"] in as_user("www-data", read)
    assert as_user("www-data", lambda: [path for path in _files(release.resolve()) if _writes(path)]) == []
    # The private key of the web server is for root, the copy for the web user in a folder of its own.
    assert as_user("www-data", lambda: os.access(release / "certs" / "docassemble.key", os.R_OK)) is False


def test_the_web_user_can_write_nothing_of_the_node_but_the_file_that_reloads_it(site: Busy) -> None:
    """docassemble touches it. What root writes elsewhere lies in folders of root alone."""

    def written() -> list[Path]:
        return [path for path in _files(site.node.root) if _writes(path) and not path.is_socket()]

    assert as_user("www-data", written) == [site.node.root / "webapp" / "docassemble.wsgi"]
    assert as_user("nobody", written) == []


@pytest.mark.parametrize("change", ["owner", "mode"])
def test_a_node_whose_root_the_web_user_can_change_is_refused_with_the_remedy(site: Busy, change: str) -> None:
    root = site.node.root
    if change == "owner":
        shutil.chown(root, "www-data")
    else:
        root.chmod(0o777)
    try:
        supervisorctl(site.node, "start", "update")
        wait_for(site.node, "update", "EXITED")
    finally:
        shutil.chown(root, "root")
        root.chmod(0o755)
    log = (root / "agent/log/update.log").read_text()
    assert f"run: chown root:root {root} && chmod go-w {root}" in log.splitlines()[-1]


@pytest.mark.parametrize("command", ["status", "plan", "history", "gc --dry-run", "update"])
def test_a_command_of_another_user_on_the_node_says_what_it_may_not_read(site: Busy, command: str) -> None:
    words = (sys.executable, "-m", "da_agent", *command.split())
    environment = {**site.node.environment, "HOME": "/nonexistent"}
    ended = as_user("nobody", lambda: subprocess.run(words, env=environment, capture_output=True, text=True))  # noqa: PLW1510
    assert "Traceback" not in ended.stderr
    assert ended.returncode == 0 or (len(ended.stderr.splitlines()) == 1 and "permi" in ended.stderr), ended.stderr


def _writes(path: Path) -> bool:
    return os.access(path, os.W_OK) and not path.is_symlink()
