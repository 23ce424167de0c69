"""uv and pip, run as the build user."""

import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import uv

from da_agent import processes
from da_agent.adapters.packaging import complaints, indexes
from da_agent.adapters.packaging.indexes import IndexPlaces
from da_agent.adapters.packaging.workshops import Workshop
from da_agent.errors import Invalid, NotHere
from da_agent.processes import Outcome


def uv_program() -> Path:
    """The path of uv; NotHere when the agent's environment has none."""
    try:
        return Path(uv.find_uv_bin())
    except FileNotFoundError as error:
        raise NotHere("cannot find uv beside the agent: install the package uv into the agent's environment") from error


def pip_program(python: Path) -> list[str | Path]:
    """The command of the agent's own pip, working for `python`, or else of the pip of `python`."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-I", "-m", "pip", "--python", python]
    return [python, "-I", "-m", "pip"]


def pip_configuration(python: Path, environ: Mapping[str, str], folder: Path) -> str:
    """The output of `pip config list`; empty without pip."""
    command = [*pip_program(python), "config", "list"]
    outcome = processes.run(command, {**environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}, folder=folder, patience=60)
    return outcome.output if outcome.well else ""


class Tools:
    """`python` is the Python that packages are for. `configured`: config.yml names the indexes, not this machine.

    A tool that fails raises what `complaints.explain` returns. Invalid after `patience` seconds; NotHere when the tool
    is killed or there is no pip.
    """

    def __init__(
        self,
        python: Path,
        workshop: Workshop,
        where: IndexPlaces,
        variables: Mapping[str, str],
        *,
        configured: bool,
        patience: float,
    ) -> None:
        self._uv = uv_program()
        self._python = python
        self._workshop = workshop
        self._variables = {**variables, **indexes.variables(where)}
        self._alone = ["--no-index"] if where.alone else []
        self._configured = configured
        self._patience = patience

    def lock(self, requirements: Path, lock: Path) -> None:
        """Resolve `requirements` into `lock`; versions in an existing `lock` are preferred."""
        command: list[str | Path] = [
            "pip",
            "compile",
            requirements,
            "--output-file",
            lock,
            "--no-header",
            "--no-annotate",
            "--quiet",
        ]
        self._run([self._uv, *command, *self._for_python()], "install these packages together")

    def build(self, filename: str, source: Path, into: Path) -> Path:
        """Build `source` in `into`; returns the wheel's path. Invalid unless the build makes exactly one wheel."""
        task = f"build {filename}"
        command: list[str | Path] = [
            "build",
            "--wheel",
            "--no-sources",
            "--no-create-gitignore",
            "--out-dir",
            into,
            source,
        ]
        outcome = self._workshop.run([self._uv, *command, *self._for_python()], self._variables, self._patience)
        self._require(outcome, task)
        made = sorted(into.glob("*.whl"))
        if len(made) != 1:
            raise Invalid(f"cannot {task}: its build made {len(made)} wheels instead of one")
        return made[0]

    def fetch(self, links: Path, into: Path, tick: Callable[[int], None]) -> None:
        """Get each distribution in `links`, a requirements file of URLs with hashes, as a wheel in `into`.

        `tick` gets 1 for each.
        """

        def count(line: str) -> None:
            if line.startswith("Collecting "):
                tick(1)

        command = ["wheel", "--no-deps", "--require-hashes", "--use-pep517", "--progress-bar", "off", "--no-input"]
        arguments = [*pip_program(self._python), *command, "--wheel-dir", into, "--requirement", links]
        self._run(arguments, "fetch the packages", count)

    def compile(self, writer: Path, wheels: Sequence[Path], into: Path, tick: Callable[[int], None]) -> None:
        """Copy `wheels` to `into` with the bytecode of their modules; `tick` gets 1 for each."""
        # The writer prints the name of each finished wheel.
        command: list[str | Path] = [self._python, "-I", writer, into, self._workshop.builder, *wheels]
        outcome = self._workshop.run(command, {}, self._patience, lambda _: tick(1), becomes=True)
        self._require(outcome, "compile the packages")

    def _run(self, command: list[str | Path], task: str, watch: Callable[[str], object] = processes.ignore) -> None:
        self._require(self._workshop.run(command, self._variables, self._patience, watch), task)

    def _require(self, outcome: Outcome, task: str) -> None:
        if outcome.well:
            return
        if outcome.code is None:
            raise Invalid(f"cannot {task}: not finished after {self._patience / 60:.0f} minutes")
        if "No module named pip" in outcome.output:
            raise NotHere(f"cannot {task}: there is neither a pip beside the agent nor one for {self._python}")
        if outcome.code < 0:
            raise NotHere(f"cannot {task}: killed by signal {-outcome.code}; there may be too little memory")
        raise complaints.explain(
            outcome.output, outcome.code, task, scratch=self._workshop.root, configured=self._configured
        )

    def _for_python(self) -> list[str | Path]:
        return ["--python", self._python, "--no-python-downloads", "--no-config", "--no-progress", *self._alone]
