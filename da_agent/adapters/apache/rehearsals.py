"""Checks of a staged release before it is served, in processes that cannot disturb the live one."""

import json
import pwd
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import uv

from da_agent import package_checks
from da_agent.adapters.apache import configurations, handshakes, throwaways
from da_agent.domain import texts
from da_agent.domain.node.nodes import Node
from da_agent.domain.node.paths import Paths, Staged
from da_agent.errors import NodeBroken, ReleaseBroken
from da_agent.files import on_this_node
from da_agent.handshakes import rehearse as rehearse_handshake
from da_agent.processes import Outcome

TOOL_SECONDS = 60.0
GRACE = 5.0
"""Seconds in which the loader may end itself with a traceback before it is killed."""


def rehearse(node: Node, paths: Paths, number: int) -> None:
    """Raise ReleaseBroken with the first reason why release `number` cannot be served.

    Raises NodeBroken when the node itself cannot rehearse.
    """
    user = configurations.account(node.web_user) if node.web_user else None
    rehearsal = _Rehearsal(node, paths, number, user)
    rehearsal.check_access()
    rehearsal.check_packages()
    rehearsal.load_application()
    rehearsal.check_certificates()
    rehearsal.check_web_server()


class _Rehearsal:
    def __init__(self, node: Node, paths: Paths, number: int, user: pwd.struct_passwd | None) -> None:
        self._node = node
        self._paths = paths
        self._number = number
        self._folder = paths.release(number)
        self._staged = Staged(self._folder)
        self._user = user
        self._variables = throwaways.variables(node, user)

    def check_access(self) -> None:
        """Raise NodeBroken when the web user cannot read the release: every other release would fail too."""
        code = "import sys\nfor name in sys.argv[1:]: open(name, 'rb').close()"
        names = (self._paths.wsgi, self._staged.webapp, self._staged.config)
        ended = self._run((self._base_python(), "-I", "-c", code, *map(str, names)), TOOL_SECONDS)
        if ended.code != 0:
            raise NodeBroken(f"cannot rehearse release {self._number} as the web user: {_last(ended)}")

    def check_packages(self) -> None:
        """Check that the packages fit together. Runs as the web user: inspecting them may run their code."""
        wrong = package_checks.complaint(_uv(), self._staged.environment / "bin" / "python", self._look)
        if wrong is not None:
            raise ReleaseBroken(f"cannot serve release {self._number}: its packages {texts.reason(wrong)}")

    def _look(self, command: Sequence[str | Path]) -> Outcome:
        ended = self._run(tuple(map(str, command)), TOOL_SECONDS, gives_way=True)
        self._must_have_ended(ended, "the check of its packages")
        return ended

    def load_application(self) -> None:
        limit = self._start_timeout()
        ended = self._run((self._base_python(), str(self._paths.wsgi), "--check", str(self._folder)), limit + GRACE)
        verdict = _verdict(ended)
        if ended.code == 0 and verdict is not None and verdict["error"] is None:
            return
        task = "its application cannot be loaded"
        if verdict is not None and verdict["error"]:
            raise self._broken(task, verdict["error"])
        if ended.code is None or any(line.startswith("Timeout (") for line in ended.lines):
            raise self._broken(task, f"it did not end within {limit:g} seconds{_place(ended)}")
        how = f"signal {-ended.code}" if ended.code < 0 else f"exit code {ended.code}"
        raise self._broken(task, f"it ended the process ({how}): {_last(ended)}")

    def check_certificates(self) -> None:
        """Try a handshake with the web server's TLS library: a chain that fails would end HTTPS at a restart."""
        try:
            chain = handshakes.chain(self._folder)
        except OSError as error:
            raise self._broken("its certificate cannot be read", str(error)) from error
        refused = None if chain is None else rehearse_handshake(chain)
        if refused is not None:
            raise self._broken("its certificate cannot be served", refused)

    def check_web_server(self) -> None:
        """Check all Apache configurations as the agent's user: it starts Apache, and only it may read keys."""
        environment = throwaways.variables(self._node, None)
        every = (configurations.APPLICATION, configurations.HTTP, configurations.TLS)
        for program in (each for each in every if configurations.text(self._staged, each).exists()):
            arguments = (*configurations.command(self._paths, program, self._folder), "-t")
            ended = throwaways.run(arguments, seconds=TOOL_SECONDS, environment=environment, gives_way=True)
            self._must_have_ended(ended, "apache2 -t")
            if ended.code != 0:
                complaints = [line for line in ended.lines if "AH00112" not in line]
                raise self._broken("Apache does not accept its configuration", " ".join(complaints[-2:]))

    def _base_python(self) -> str:
        return str(self._paths.base / "bin" / "python")

    def _run(self, arguments: tuple[str, ...], seconds: float, *, gives_way: bool = False) -> Outcome:
        return throwaways.run(
            arguments, seconds=seconds, environment=self._variables, user=self._user, gives_way=gives_way
        )

    def _must_have_ended(self, ended: Outcome, tool: str) -> None:
        """Raise NodeBroken when the tool hangs: that says nothing about the release."""
        if ended.code is None:
            reason = f"{tool} did not end within {TOOL_SECONDS:g} seconds"
            raise NodeBroken(f"cannot rehearse release {self._number}: {reason}")

    def _broken(self, what: str, reason: str) -> ReleaseBroken:
        return ReleaseBroken(f"cannot serve release {self._number}: {what}: {texts.reason(reason)}")

    def _start_timeout(self) -> float:
        with on_this_node(f"rehearse release {self._number}"):
            facts = json.loads(self._staged.webapp.read_bytes())
        return float(facts["start_timeout"])


def _uv() -> Path:
    try:
        return Path(uv.find_uv_bin())
    except FileNotFoundError as error:
        raise NodeBroken("cannot find uv, which belongs to the agent: install da_agent again") from error


def _verdict(ended: Outcome) -> dict[str, str | None] | None:
    """The loader's final JSON line; None when it ended without one, whatever the application printed."""
    try:
        said = json.loads(ended.lines[-1])
    except (ValueError, IndexError, RecursionError):
        return None
    return said if isinstance(said, dict) and set(said) == {"error"} else None


def _last(ended: Outcome) -> str:
    return texts.reason(ended.lines[-1]) if ended.lines else "it printed nothing"


def _place(ended: Outcome) -> str:
    """Where an import hangs, from the traceback of the loader's own alarm, innermost frame first; may be empty."""
    library = f'File "{sysconfig.get_path("stdlib")}'
    frames = [line for line in ended.lines if line.startswith("File ")]
    at = next((line for line in frames if not line.startswith((library, 'File "<frozen'))), None)
    return f"; it was executing {at.removeprefix('File ')}" if at else ""
