"""The web server of this node."""

import os
import stat
import time
from collections.abc import Callable, Collection
from datetime import timedelta
from pathlib import Path

from da_agent import files
from da_agent.adapters.apache import (
    bases,
    configurations,
    facts,
    launches,
    logs,
    processes,
    readers,
    rehearsals,
    requests,
)
from da_agent.adapters.apache.configurations import APPLICATION, HTTP, TLS
from da_agent.adapters.apache.fronts import FRONTS, Fronts
from da_agent.adapters.apache.pins import Pins
from da_agent.adapters.apache.requests import Door
from da_agent.adapters.apache.warmings import Warming
from da_agent.domain.application.groups import Group
from da_agent.domain.application.readiness import Answer, Wanted, Worker
from da_agent.domain.config.settings import Settings
from da_agent.domain.node.loopbacks import GROUP_HEADER
from da_agent.domain.node.nodes import Node
from da_agent.domain.node.paths import Paths, Staged
from da_agent.domain.release.releases import NO_WORKER, Disturbance, Release, Served, disturbances
from da_agent.errors import NodeBroken, ReleaseBroken
from da_agent.files import on_this_node
from da_agent.held_folders import held
from da_agent.ports import Reply, Supervisor

TICK = 1_000_000
"""Nanoseconds; coarser than the resolution of modification times in file systems and mod_wsgi."""

MOMENT = 0.3
"""Seconds after the flip in which a request sent to the old group reaches it: about a hundred times what it takes.
A slower request is still answered, by the old process or by a new one that must load first."""


class Apache:
    """Apache with two groups of mod_wsgi workers, and two more in front of it; implements `ports.WebServer`."""

    def __init__(self, node: Node, paths: Paths, supervisor: Supervisor) -> None:
        self._node = node
        self._paths = paths
        self._supervisor = supervisor
        self._pins = Pins(paths)
        self._fronts = Fronts(node, paths, supervisor, self._pins)

    def prepare(self) -> None:
        configurations.check_node(self._paths)
        paths = self._paths
        with on_this_node("prepare the web server's folders"):
            self._pins.prepare()
            bases.make(paths.base, self._node.python)
            self._write_loader()
            self._write_start()

    def render(self, release: Release, settings: Settings, into: Path) -> None:
        configurations.check_node(self._paths)
        staged = Staged(into)
        tls = configurations.tls(self._node, self._paths, release, settings)
        with on_this_node(f"write the web server's configuration of release {release.number}"):
            config = staged.config.read_bytes()
            written = {
                staged.web_server: configurations.web_server(self._node, self._paths, settings).encode(),
                staged.http: configurations.http(self._node, self._paths, release, settings).encode(),
                staged.webapp: configurations.webapp(self._node, self._paths, release, settings, config),
            }
            if tls is not None:
                written[staged.tls] = tls.encode()
            for path, data in written.items():
                files.replace(path, data)
                path.chmod(0o644)

    def rehearse(self, number: int) -> None:
        rehearsals.rehearse(self._node, self._paths, number)

    # ---- what runs

    def running(self) -> bool:
        return all(self._supervisor.pid(program) is not None for program in (APPLICATION, *self._fronts.pinned()))

    def workers(self) -> frozenset[Worker]:
        idle = self._pins.live().other
        # A worker in neither group belongs to an Apache that an older agent configured; it counts as live.
        return frozenset(worker for worker, group in self._found().items() if group != idle)

    def wanted(self, number: int) -> Wanted:
        with on_this_node(f"look at release {number}"):
            return Wanted(number, facts.read(self._paths.release(number)).serves.application)

    def ask(self, at_least: int) -> tuple[Answer, ...]:
        return requests.ask(self._door(), at_least)

    def get(self, path: str, *, warming: bool, patience: timedelta) -> Reply | None:
        door = self._door(self._pins.live().other if warming else None)
        return requests.get(door, path, patience.total_seconds())

    def _found(self) -> dict[Worker, str]:
        parent = self._supervisor.pid(APPLICATION)
        return {} if parent is None else processes.workers(parent)

    def _workers_of(self, wanted: Group) -> frozenset[Worker]:
        return frozenset(worker for worker, group in self._found().items() if group == wanted)

    def _door(self, group: Group | None = None) -> Door:
        with on_this_node("read the web server's secret"):
            headers = {GROUP_HEADER: f"{self._pins.secret()} {group or 'live'}"}
        return Door(self._node.loopback, self._node.agent_port, headers)

    # ---- what is served

    def start(self) -> None:
        folder = self._paths.current.resolve()
        with on_this_node("start the web server"):
            if self._supervisor.pid(APPLICATION) is None:
                self._pins.drop(self._pins.live().other)
                self._pins.put(self._pins.live(), folder)
                self._pins.put(APPLICATION, folder)
                self._end_orphans()
                self._supervisor.start(APPLICATION)
                self._pins.make_done(APPLICATION)
                self._fronts.serve(folder, again=_again(self._needs_in(folder)))
            else:
                self._fronts.revive()

    def serve(self, number: int, patience: timedelta, approve: Callable[[], object] = lambda: None) -> None:
        if self._supervisor.pid(APPLICATION) is None:
            self.start()
            return
        folder = self._paths.release(number)
        with on_this_node(f"serve release {number}"):
            before, needs = self._served(), self._needs_in(folder)
            # An unknown configuration may lack the groups; the restart below replaces all workers anyway.
            if Disturbance.RELOAD in needs and before.web_server is not None:
                self._take_over(self.wanted(number), folder, patience, approve)
            if not facts.read(folder).serves.certificates:
                self._fronts.leave(TLS)
            if Disturbance.RESTART in needs:
                self._pins.put(self._pins.live(), folder)
                self._restart(folder)
            self._pins.put(APPLICATION, folder)
            self._fronts.serve(folder, again=_again(needs))
            # Last, because the live pin states the served release. Running workers have an equal application by now;
            # new workers load this release.
            self._pins.put(self._pins.live(), folder)
            self._relieve(self._pins.live().other)

    def needs_no_reload(self, number: int) -> bool:
        if self._supervisor.pid(APPLICATION) is None:
            return False
        return self._needs(number) <= NO_WORKER

    def cuts(self, number: int) -> bool:
        return self._supervisor.pid(APPLICATION) is not None and Disturbance.RESTART in self._needs(number)

    def _needs(self, number: int) -> frozenset[Disturbance]:
        return self._needs_in(self._paths.release(number))

    def _needs_in(self, folder: Path) -> frozenset[Disturbance]:
        return disturbances(self._served(), facts.read(folder).serves)

    def drain(self, *, on: bool) -> None:
        with on_this_node("drain this node" if on else "end the draining of this node"):
            if on:
                self._paths.draining.touch(0o644)
            else:
                self._paths.draining.unlink(missing_ok=True)

    def draining(self) -> bool:
        return self._paths.draining.exists()

    def active(self) -> int:
        return sum(answer.active for answer in self.ask(len(self.workers())))

    def under_way(self) -> int | None:
        door = self._door()
        if not requests.listens(door):
            return None
        answers = requests.ask(door, facts.read(self._pins.get(APPLICATION)).processes)
        return sum(answer.active for answer in answers) if answers else 1

    def log(self) -> tuple[str, ...]:
        return logs.last_lines(self._paths.logs / f"{APPLICATION}.log")

    def reload(self) -> None:
        with on_this_node("reload the application"), held(self._paths.wsgi.parent) as folder:
            # mod_wsgi compares only modification times: a second touch within one tick must still change the time.
            folder.touch(self._paths.wsgi.name, TICK)

    def read_certificates(self, places: Collection[Path]) -> tuple[str, ...]:
        with on_this_node("read the certificates again"):
            told = tuple(f"process {pid}" for pid in readers.read_again(places))
            return (TLS, *told) if self._is_up() and self._fronts.present_again() else told

    def _is_up(self) -> bool:
        try:
            return self.running()
        except NodeBroken:
            # No supervisord: certificates are also installed before it runs.
            return False

    def _served(self) -> Served:
        """What the running processes serve; an unknown part is None."""
        live, apache, http, tls = (self._pins.get(name) for name in (self._pins.live(), APPLICATION, HTTP, TLS))
        presented = None if self._pins.is_due(TLS) else facts.read(tls).serves.certificates
        return Served(
            application=facts.read(live).serves.application,
            certificates="" if tls is None else presented,
            web_server=None if self._pins.is_due(APPLICATION) else facts.read(apache).serves.web_server,
            http=None if self._pins.is_due(HTTP) else facts.read(http).serves.http,
        )

    def _take_over(self, wanted: Wanted, folder: Path, patience: timedelta, approve: Callable[[], object]) -> None:
        """The idle group loads the release, then the flip sends it all requests.

        On ReleaseBroken the live group stays as it was.
        """
        new = self._pins.live().other
        count = facts.read(self._pins.get(APPLICATION)).processes
        self._pins.put(new, folder)
        try:
            Warming(
                wanted,
                count,
                workers=lambda: self._running_workers(new),
                ask=lambda at_least: requests.ask(self._door(new), at_least),
                seconds=patience.total_seconds(),
            ).run()
            approve()
        except ReleaseBroken:
            # The idle workers go back to an empty memory, as the next release expects.
            self._pins.drop(new)
            for worker in self._workers_of(new):
                processes.end(worker)
            raise
        self._pins.flip(new)
        time.sleep(MOMENT)

    def _running_workers(self, group: Group) -> frozenset[Worker]:
        if self._supervisor.pid(APPLICATION) is None:
            raise NodeBroken("the web server has ended while it was loading a release")
        return self._workers_of(group)

    def _relieve(self, group: Group) -> None:
        """Drop the pin of the idle group. Its workers that hold a release end after their last requests."""
        self._pins.drop(group)
        workers = self._workers_of(group)
        light = {answer.pid for answer in requests.ask(self._door(group), len(workers)) if answer.release is None}
        for worker in workers:
            if worker.pid not in light:
                processes.relieve(worker)

    def _restart(self, folder: Path) -> None:
        """Restart Apache gracefully, with new configuration and all workers replaced; NodeBroken when it is down."""
        parent = self._supervisor.pid(APPLICATION)
        if parent is None:
            raise NodeBroken("cannot restart the web server gracefully: it does not run")
        former = processes.workers(parent)
        self._pins.make_due(APPLICATION)
        self._pins.put(APPLICATION, folder)
        processes.restart_gracefully(parent)
        processes.wait_for_end(former)
        self._pins.make_done(APPLICATION)

    def _end_orphans(self) -> None:
        """End an application's Apache that an earlier supervisord left behind, after the fronts through which it is
        reached: a balancer must not send them what they cannot pass on."""
        for program in FRONTS:
            self._fronts.end_orphans(program)
        node = self._node
        listeners = (node.loopback_port, node.agent_port)
        processes.end_orphans(
            Staged(self._paths.pin(APPLICATION)).web_server,
            self._paths.run / f"{APPLICATION}.pid",
            is_free=lambda: all(requests.is_free(node.loopback, port) for port in listeners),
            current=lambda: self._supervisor.pid(APPLICATION),
        )
        for port in listeners:
            requests.require_free(node.loopback, port)

    def _write_start(self) -> None:
        path, text = self._paths.start, launches.script(self._node)
        if not path.exists() or path.read_bytes() != text:
            files.replace(path, text)

    def _write_loader(self) -> None:
        """Write the WSGI file. The web user owns it, because docassemble touches it to reload."""
        user = configurations.account(self._node.web_user) if self._node.web_user else None
        ids = (user.pw_uid, user.pw_gid) if user else (os.geteuid(), os.getegid())
        name, text = self._paths.wsgi.name, configurations.loader()
        with held(self._paths.wsgi.parent, make=0o755) as folder:
            state = folder.status(name)
            is_right = state is not None and (stat.S_IMODE(state.st_mode), state.st_uid) == (0o644, ids[0])
            if not is_right or folder.read(name, len(text)) != text:
                folder.replace(name, text, 0o644, ids if user else None)


def _again(needs: Collection[Disturbance]) -> list[str]:
    """The fronts that must read their files anew."""
    return [program for need, program in ((Disturbance.HTTP, HTTP), (Disturbance.CERTIFICATES, TLS)) if need in needs]
