"""The two Apaches that visitors reach: one for plain HTTP and, where there is a certificate, one for HTTPS."""

from collections.abc import Collection
from pathlib import Path

from da_agent.adapters.apache import configurations, facts, handshakes, processes, requests
from da_agent.adapters.apache.configurations import HTTP, TLS
from da_agent.adapters.apache.pins import Pins
from da_agent.domain.node.nodes import Node
from da_agent.domain.node.paths import Paths, Staged
from da_agent.ports import Supervisor

FRONTS = (HTTP, TLS)


class Fronts:
    """Both fronts. Methods raise NodeBroken, and may raise OSError."""

    def __init__(self, node: Node, paths: Paths, supervisor: Supervisor, pins: Pins) -> None:
        self._node = node
        self._paths = paths
        self._supervisor = supervisor
        self._pins = pins

    def serve(self, folder: Path, *, again: Collection[str] = ()) -> None:
        """Let both serve the release in `folder`; a running one that is in `again` reads its files anew."""
        for program in FRONTS:
            if _has(program, folder):
                self._serve(program, folder, again=program in again)
            else:
                self.leave(program)

    def present_again(self) -> bool:
        """Let the front for HTTPS read its certificates anew; False when it is not wanted."""
        folder = self._pins.get(TLS)
        if folder is not None:
            self._serve(TLS, folder, again=True)
        return folder is not None

    def revive(self) -> None:
        """Start those that do not run although they should."""
        for program in self.pinned():
            if self._supervisor.pid(program) is None:
                self.end_orphans(program)
                self._supervisor.start(program)

    def leave(self, program: str) -> None:
        """Stop it, if it was ever started."""
        if self._pins.get(program) is not None:
            self._supervisor.stop(program)
            self.end_orphans(program)
            self._pins.drop(program)

    def pinned(self) -> list[str]:
        return [program for program in FRONTS if self._pins.get(program) is not None]

    def end_orphans(self, program: str) -> None:
        """End Apaches that an earlier supervisord left behind; they serve until this moment.

        Does nothing when supervisord runs the program.
        """
        if self._supervisor.pid(program) is None:
            processes.end_orphans(
                configurations.text(Staged(self._paths.pin(program)), program),
                self._paths.run / f"{program}.pid",
                is_free=lambda: requests.is_free(self._node.address, self._port(program)),
                current=lambda: self._supervisor.pid(program),
            )

    def _serve(self, program: str, folder: Path, *, again: bool) -> None:
        if again:
            self._pins.make_due(program)
        self._pins.put(program, folder)
        pid = self._supervisor.pid(program)
        if pid is None:
            self.end_orphans(program)
            self._supervisor.start(program)
        elif self._pins.is_due(program):
            processes.restart_gracefully(pid)
        if pid is None or self._pins.is_due(program):
            self._wait_for(program, folder)
        self._pins.make_done(program)

    def _wait_for(self, program: str, folder: Path) -> None:
        host, port = configurations.local_address(self._node), self._port(program)
        if program == TLS:
            handshakes.wait_for(folder, host, port)
        else:
            requests.wait_until_open(host, port, program)

    def _port(self, program: str) -> int:
        return self._node.https_port if program == TLS else self._node.http_port


def _has(program: str, folder: Path) -> bool:
    return program == HTTP or bool(facts.read(folder).serves.certificates)
