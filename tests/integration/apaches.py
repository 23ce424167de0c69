"""A web server of one's own for a test: a root below /tmp, releases made by hand, a real Apache."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.message import Message
from pathlib import Path
from typing import Any

from da_agent.adapters.apache import Apache, command
from da_agent.domain.application.readiness import Readiness, readiness_of
from da_agent.domain.config.settings import Settings
from da_agent.domain.node.folder_rights import folders
from da_agent.domain.node.nodes import Node
from da_agent.domain.node.paths import Paths, Staged
from da_agent.domain.packages.wheels import Target
from da_agent.domain.release.releases import Contents, Release
from da_agent.domain.store.blobs import File, blob_of
from da_agent.files import make_folders
from da_agent.processes import Account
from tests.load import Reply

PYTHON = Path("/usr/bin/python3")
HEALTH = "/.well-known/da-agent"

HELLO = """
import json, os
VERSION = {version!r}
def application(environ, start_response):
    said = {{"pid": os.getpid(), "release": os.environ["DA_AGENT_RELEASE"], "version": VERSION}}
    if environ["PATH_INFO"] == "/lazy":
        import hello_lazy
        said["lazy"] = hello_lazy.VERSION
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(said).encode()]
"""


def hello(version: str) -> dict[str, str]:
    """The files of an application that says which version of it answers."""
    return {"hello.py": HELLO.format(version=version), "hello_lazy.py": f"VERSION = {version!r}\n"}


def distribution(name: str, version: str, *requires: str) -> dict[str, str]:
    """The metadata of an installed distribution."""
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        f"Version: {version}",
        *(f"Requires-Dist: {r}" for r in requires),
    ]
    folder = f"{name}-{version}.dist-info"
    wheel = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    return {f"{folder}/METADATA": "\n".join(lines) + "\n", f"{folder}/WHEEL": wheel, f"{folder}/RECORD": ""}


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


class Runner:
    """Keeps the promises of `ports.Supervisor` for the programs that it is told how to run."""

    def __init__(self, programs: Mapping[str, tuple[str, ...]], log: Path) -> None:
        self._programs = programs
        self._log = log
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def pid(self, program: str) -> int | None:
        assert program in self._programs
        process = self._processes.get(program)
        return process.pid if process is not None and process.poll() is None else None

    def start(self, program: str) -> None:
        if self.pid(program) is not None:
            return
        with self._log.open("ab") as log:
            self._processes[program] = subprocess.Popen(
                self._programs[program], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def failed(self) -> tuple[str, ...]:
        return ()

    def ending(self) -> bool:
        return False

    def starting(self) -> tuple[str, ...]:
        return ()

    def revive(self) -> None:
        pass

    def stop(self, program: str) -> None:
        process = self._processes.pop(program, None)
        if process is not None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def end(self) -> None:
        for program in self._programs:
            self.stop(program)

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""


class Web:
    """One node's web server; `apache` is what the tests are about."""

    def __init__(self, root: Path, node: Node) -> None:
        self.node = node
        self.paths = Paths(root)
        self.runner = Runner(
            {name: command(self.paths, name) for name in ("apache2", "http", "tls")}, root / "apache2.log"
        )
        self.apache = Apache(node, self.paths, self.runner)
        self.url = f"http://127.0.0.1:{node.http_port}"
        self.tls_url = f"https://127.0.0.1:{node.https_port}"

    def stage(
        self,
        number: int,
        files: Mapping[str, str] | None = None,
        certificates: Mapping[str, bytes] | None = None,
        settings: Settings | None = None,
        config: str | None = None,
    ) -> None:
        """A release by hand: an environment with `files` in its site-packages.

        Without `config` no other release has an equal application.
        """
        staged = Staged(self.paths.release(number))
        staged.root.mkdir(parents=True)
        subprocess.run([PYTHON, "-m", "venv", "--without-pip", staged.environment], check=True)
        for name, text in (files or {}).items():
            path = staged.environment / "lib" / "python3.11" / "site-packages" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        staged.config.write_text(config or f"release: {number}\n")
        staged.certificates.mkdir(mode=0o700)
        for name, data in (certificates or {}).items():
            (staged.certificates / name).touch(mode=0o400)
            (staged.certificates / name).chmod(0o600)
            (staged.certificates / name).write_bytes(data)
            (staged.certificates / name).chmod(0o400)
        named = tuple(File(name, blob_of(data)) for name, data in sorted((certificates or {}).items()))
        contents = Contents(blob_of(b""), named, (), Target("3.11", "linux_x86_64"), ())
        release = Release(number, "nonce", datetime(2026, 1, 1, tzinfo=UTC), "test", "test", contents)
        self.apache.render(release, settings or Settings(), staged.root)

    def switch(self, number: int) -> None:
        link = self.paths.root / "current.new"
        link.symlink_to(self.paths.release(number))
        link.replace(self.paths.current)

    def probe(self, number: int, seconds: float = 30.0) -> Readiness:
        """Ask, as the agent does, until every worker answers from the release."""
        ends = time.monotonic() + seconds
        while True:
            workers = self.apache.workers()
            readiness = readiness_of(self.apache.wanted(number), workers, self.apache.ask(len(workers)))
            if readiness.holds or time.monotonic() > ends:
                return readiness

    def health(self) -> dict[str, Any]:
        """What the loader tells the agent of the process that answers."""
        reply = self.apache.get(HEALTH, warming=False, patience=timedelta(seconds=10))
        assert reply is not None
        found: dict[str, Any] = json.loads(reply.start)
        return found

    def requests(self, *, tls: bool = False) -> str:
        """The log of requests; what writes it makes it with the first line."""
        path = self.paths.logs / ("access-tls.log" if tls else "access.log")
        return path.read_text() if path.exists() else ""

    def serve(self, number: int, patience: float = 60.0) -> None:
        """As the agent does: the switch, the web server, the proof."""
        self.switch(number)
        self.apache.serve(number, timedelta(seconds=patience))
        readiness = self.probe(number)
        assert readiness.holds, f"{readiness}\n{self.runner.log}"


def make_node(root: Path, **changes: object) -> Node:
    values: dict[str, object] = {
        "root": root,
        "store": "file:///nowhere",
        "address": "127.0.0.1",
        "http_port": free_port(),
        "https_port": free_port(),
        "python": PYTHON,
        "web_user": "www-data" if os.geteuid() == 0 else None,
        "application": "hello:application",
        "application_path": None,
        "variables": {"PATH": os.environ["PATH"]},
    }
    return Node(**{**values, **changes})  # type: ignore[arg-type]


@contextmanager
def web(kind: type[Web] = Web, **changes: object) -> Iterator[Web]:
    """A prepared node whose root other users may enter; pytest's own folders are for one user alone."""
    root = Path(tempfile.mkdtemp(prefix="da-"))
    root.chmod(0o755)
    made = kind(root, make_node(root, **changes))
    try:
        user = made.node.web_user
        group = None if user is None else Account.of(user).gid
        make_folders(folders(made.paths, one_user=user is None), group)
        made.apache.prepare()
        yield made
    finally:
        made.runner.end()
        shutil.rmtree(root)


SHORT = Settings(start_timeout=timedelta(seconds=2))


def wait_until(happened: Callable[[], bool], seconds: float = 20.0) -> None:
    """Return when the function says so; AssertionError after `seconds`."""
    ends = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < ends, f"not within {seconds} s"
        time.sleep(0.02)


def get(url: str) -> tuple[int, str, Message]:
    try:
        with urllib.request.urlopen(url, timeout=30) as response:
            return response.status, response.read().decode(), response.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers


def said(url: str) -> dict[str, Any]:
    status, body, _ = get(url)
    assert status == 200, body
    found: dict[str, Any] = json.loads(body)
    return found


def served(version: str) -> Callable[[Reply], bool]:
    return lambda reply: f'"version": "{version}"' in reply.body


def certificate(folder: Path, name: str) -> dict[str, bytes]:
    key, crt = folder / f"{name}.key", folder / f"{name}.crt"
    kind = ("-x509", "-nodes", "-days", "30", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    made = ("-subj", f"/CN={name}", "-keyout", str(key), "-out", str(crt))
    subprocess.run(["openssl", "req", *kind, *made], check=True, capture_output=True)
    return {"docassemble.crt": crt.read_bytes(), "docassemble.key": key.read_bytes()}


def presented(node: Web) -> str:
    """The certificate that Apache shows to openssl, as PEM."""
    shown = ""

    def answers() -> bool:
        nonlocal shown
        shown = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{node.node.https_port}"],
            input="",
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        ).stdout
        return begin in shown

    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----\n"
    wait_until(answers)
    return shown[shown.index(begin) : shown.index(end) + len(end)]
