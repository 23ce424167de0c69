"""The environment of a resolution, built and checked once before it is published: no node has to find out."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from da_agent import package_checks, ports
from da_agent.adapters.packaging import tools
from da_agent.adapters.packaging.environments import UvEnvironments
from da_agent.adapters.packaging.workshops import Workshop
from da_agent.domain import texts
from da_agent.domain.packages.locked import Locked
from da_agent.domain.packages.overlaps import Overlap
from da_agent.domain.store.blobs import Blob
from da_agent.errors import Invalid, NodeBroken
from da_agent.processes import Outcome

_PATIENCE = 300.0
"""Seconds for a look at all packages, which takes one."""

_CHUNK = 1 << 20


class Assembly:
    """Builds environments from this machine's own blobs and caches.

    What is published here is staged here from them: it is neither downloaded nor unpacked once more. `fetch` gets
    blobs from the store.
    """

    def __init__(
        self, environments: UvEnvironments, blobs: ports.Blobs, fetch: Callable[[Collection[Blob]], object]
    ) -> None:
        self._environments = environments
        self._blobs = blobs
        self._fetch = fetch

    def require(self, workshop: Workshop, locked: Sequence[Locked], overlaps: Sequence[Overlap]) -> None:
        """Raise Invalid when no node could install these wheels together. Raises as `fetch`, and NodeBroken."""
        for each in locked:
            if each.path is not None:
                self._keep(each.wheel.blob, each.path)
        self._fetch([each.wheel.blob for each in locked if each.path is None])
        into = workshop.root / "environment"
        self._environments.require_installable([each.wheel for each in locked], into, overlaps)
        _require_fit(workshop, into)

    def _keep(self, blob: Blob, path: Path) -> None:
        def fill(sink: ports.Sink, start: int) -> None:
            with path.open("rb") as file:
                file.seek(start)
                while chunk := file.read(_CHUNK):
                    sink(chunk)

        self._blobs.receive(blob, fill)


def _require_fit(workshop: Workshop, environment: Path) -> None:
    """Raise Invalid unless the packages fit together, NodeBroken when that is not known in time."""

    def look(command: Sequence[str | Path]) -> Outcome:
        ended = workshop.run(command, {}, _PATIENCE)
        if ended.code is None:
            raise NodeBroken(f"cannot check the packages: the check did not end within {_PATIENCE:g} seconds")
        return ended

    wrong = package_checks.complaint(tools.uv_program(), environment / "bin" / "python", look)
    if wrong is not None:
        raise Invalid(f"the packages {texts.mistake(wrong)}")
