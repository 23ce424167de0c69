"""Wheels with the bytecode of their modules, made once for the cluster so that no node compiles."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from da_agent import ports
from da_agent.adapters.packaging.tools import Tools
from da_agent.adapters.packaging.workshops import Workshop

_WRITER = "bytecode_writer.py"


class Bytecodes:
    """Compiles wheels as the build user, because they are untrusted; no code of them is run."""

    def __init__(self, workshop: Workshop, tools: Tools, progress: ports.Progress) -> None:
        self._workshop = workshop
        self._tools = tools
        self._progress = progress

    def add(self, wheels: Sequence[Path]) -> dict[str, Path]:
        """The agent's own copies of `wheels` with bytecode, by file name. File names must be unique."""
        if not wheels:
            return {}
        writer = self._workshop.given / _WRITER
        writer.write_bytes((resources.files("da_agent.adapters.packaging") / _WRITER).read_bytes())
        writer.chmod(0o644)
        into = self._workshop.outbox("compiled")
        ours = self._workshop.root / "finished"
        ours.mkdir(mode=0o700)
        with self._progress.work("compiling packages", len(wheels), "packages") as advance:
            self._tools.compile(writer, wheels, into, advance)
        return {path.name: self._workshop.take(into / path.name, ours) for path in wheels}
