"""The web server of this node, as the agent sees it."""

import os
import time
from pathlib import Path

from da_agent import files
from da_agent.adapters.apache import bases, configurations, processes, rehearsals, requests
from da_agent.domain.nodes import Node
from da_agent.domain.paths import Paths, Staged
from da_agent.domain.proofs import Answer, Worker
from da_agent.domain.releases import Release
from da_agent.domain.settings import Settings
from da_agent.errors import NodeBroken
from da_agent.files import on_this_node
from da_agent.ports import Supervisor

PROGRAM = "apache2"
TICK = 1_000_000
"""Nanoseconds: more than any file system's or mod_wsgi's own resolution of a modification time."""


class Apache:
    """Apache under supervisor, with mod_wsgi's worker processes; implements `ports.WebServer`."""

    def __init__(self, node: Node, paths: Paths, supervisor: Supervisor) -> None:
        self._node = node
        self._paths = paths
        self._supervisor = supervisor

    def prepare(self) -> None:
        configurations.check_node(self._paths)
        with on_this_node("prepare the web server's folders"):
            for folder in (self._paths.agent, self._paths.run, self._paths.logs, self._paths.wsgi.parent):
                _make_folder(folder)
            bases.make(self._paths.base, self._node.python)
            self._write_loader()

    def render(self, release: Release, settings: Settings, into: Path) -> None:
        configurations.check_node(self._paths)
        text = configurations.web_server(self._node, self._paths, release, settings)
        facts = configurations.webapp(self._node, release, settings)
        with on_this_node(f"write the web server's configuration of release {release.number}"):
            for path, data in ((Staged(into).web_server, text.encode()), (into / configurations.WEBAPP, facts)):
                files.replace(path, data)
                path.chmod(0o644)

    def rehearse(self, number: int) -> None:
        rehearsals.rehearse(self._node, self._paths, number)

    def running(self) -> bool:
        return self._supervisor.pid(PROGRAM) is not None

    def workers(self) -> frozenset[Worker]:
        parent = self._supervisor.pid(PROGRAM)
        return frozenset() if parent is None else processes.workers(parent)

    def ask(self, at_least: int) -> tuple[Answer, ...]:
        return requests.ask(self._node.address, self._node.http_port, at_least)

    def start(self) -> None:
        if self._supervisor.pid(PROGRAM) is None:
            processes.end_orphans(self._paths.current / "apache2.conf")
        self._supervisor.start(PROGRAM)

    def reload(self) -> None:
        with on_this_node("reload the application"):
            # Two touches within one tick of the clock must be two: mod_wsgi only compares the times.
            before = self._paths.wsgi.stat().st_mtime_ns
            now = max(time.time_ns(), before + TICK)
            os.utime(self._paths.wsgi, ns=(now, now))

    def restart(self) -> None:
        parent = self._supervisor.pid(PROGRAM)
        if parent is None:
            raise NodeBroken("cannot restart the web server gracefully: it does not run")
        processes.restart_gracefully(parent)

    def needs_restart(self, before: int | None, after: int) -> bool:
        if before is None:
            return True
        with on_this_node(f"compare releases {before} and {after}"):
            return self._read_by_apache(before) != self._read_by_apache(after)

    def _read_by_apache(self, number: int) -> dict[str, bytes]:
        staged = Staged(self._paths.release(number))
        names = sorted(path for path in staged.certificates.rglob("*") if path.is_file())
        read = {str(path.relative_to(staged.root)): path.read_bytes() for path in names}
        return {"apache2.conf": staged.web_server.read_bytes(), **read}

    def _write_loader(self) -> None:
        """It belongs to the web user, because docassemble touches it to reload and wants to be able to."""
        path, text = self._paths.wsgi, configurations.loader()
        if not path.is_file() or path.read_bytes() != text:
            files.replace(path, text, 0o644)
        path.chmod(0o644)
        if self._node.web_user:
            owner = configurations.account(self._node.web_user)
            os.chown(path, owner.pw_uid, owner.pw_gid)


def _make_folder(path: Path) -> None:
    """Worker processes must get through it, whatever the umask."""
    if path.is_dir():
        return
    _make_folder(path.parent)
    path.mkdir(exist_ok=True)
    path.chmod(0o755)
