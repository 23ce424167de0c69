"""Wheels with the bytecode of their modules, made once for the cluster so that no node compiles."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from da_agent import ports
from da_agent.adapters.packaging import archives, comparisons
from da_agent.adapters.packaging.tools import Tools
from da_agent.adapters.packaging.workshops import Workshop
from da_agent.errors import Invalid, NodeBroken

_WRITER = "bytecode_writer.py"


class Bytecodes:
    """Compiles wheels as the build user, because they are untrusted; no code of them is run.

    `python` is the version of the Python that they are for.
    """

    def __init__(self, workshop: Workshop, tools: Tools, python: str, progress: ports.Progress) -> None:
        self._workshop = workshop
        self._tools = tools
        self._python = python
        self._progress = progress

    def add(self, wheels: Sequence[Path]) -> dict[str, Path]:
        """The agent's own copies of `wheels` with bytecode, by file name. File names must be unique.

        NodeBroken when a copy has other differences.
        """
        if not wheels:
            return {}
        writer = self._workshop.given / _WRITER
        writer.write_bytes((resources.files("da_agent.adapters.packaging") / _WRITER).read_bytes())
        into = self._workshop.root / "compiled"
        into.mkdir(mode=0o700)
        with self._progress.work("compiling packages", len(wheels), "packages") as advance:
            self._tools.compile(writer, wheels, into, advance)
        # Compared are the copies: the process that wrote the other files could have kept them open.
        copies = [self._workshop.copy(into / given.name) for given in wheels]
        try:
            # Within the limits for packages the agent may read these files itself.
            archives.listings(copies)
        except Invalid as refused:
            raise NodeBroken(f"cannot use what was compiled: {refused.mistakes[0]}") from refused
        for given, copy in zip(wheels, copies, strict=True):
            comparisons.require_same(given, copy, self._python)
        return {copy.name: copy for copy in copies}
