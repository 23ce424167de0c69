"""Resolves requirements to the exact wheels that every node installs."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from da_agent import files, ports, processes
from da_agent.adapters.packaging import caches, indexes, tools
from da_agent.adapters.packaging.assemblies import Assembly
from da_agent.adapters.packaging.build_users import build_user
from da_agent.adapters.packaging.builds import Locals
from da_agent.adapters.packaging.resolutions import Resolution
from da_agent.adapters.packaging.tools import Tools
from da_agent.adapters.packaging.wheels import Fits
from da_agent.adapters.packaging.workshops import Workshop
from da_agent.domain.packages.locked import Indexes, Locked, Sources
from da_agent.domain.packages.wheels import Target, Wheel
from da_agent.errors import NotHere

PATIENCE = 30 * 60.0
"""Seconds for one build, for one download of all packages, or for one resolution."""

_DESCRIBE = (
    "import platform, sys, sysconfig; print(platform.python_implementation(), "
    "'%d.%d' % sys.version_info[:2], sysconfig.get_platform().replace('-', '_').replace('.', '_'))"
)


class UvResolver:
    """Implements ports.Resolver: uv resolves and builds, pip fetches.

    `cache` is kept between resolutions and shared with other processes. When the agent is root, `build_user` runs
    foreign code; it must not be `web_user`, which runs the application. `blobs`: a wheel that another node has built
    is reused when this node has its blob. `environ` holds the machine's own indexes. `assembly` builds the environment
    of a result once.
    """

    def __init__(
        self,
        python: Path,
        scratch: Path,
        cache: Path,
        build_user: str | None,
        progress: ports.Progress,
        *,
        web_user: str | None = None,
        blobs: ports.Blobs | None = None,
        patience: float = PATIENCE,
        environ: Mapping[str, str] | None = None,
        assembly: Assembly | None = None,
    ) -> None:
        self._assembly = assembly
        self._python = python
        self._scratch = scratch
        self._cache = cache
        self._build_user = build_user
        self._web_user = web_user
        self._progress = progress
        self._blobs = blobs
        self._patience = patience
        self._environ = dict(os.environ if environ is None else environ)

    @cached_property
    def target(self) -> Target:
        """The Python version and platform that wheels must fit; NotHere without a working CPython."""
        try:
            outcome = processes.run([self._python, "-I", "-c", _DESCRIBE], self._environ, folder=Path("/"), patience=60)
        except OSError as error:
            raise NotHere(f"cannot resolve packages here: cannot run {self._python} ({error.strerror})") from error
        words = outcome.output.split()
        if not outcome.well or len(words) != 3 or words[0] != "CPython":
            raise NotHere(f"cannot resolve packages here: {self._python} is not a working CPython")
        return Target(python=words[1], platform=words[2])

    @contextmanager
    def resolve(self, sources: Sources, previous: Sequence[Wheel]) -> Iterator[tuple[Locked, ...]]:
        if not sources.requirements and not sources.distributions:
            yield ()
            return
        root = None
        try:
            with files.on_this_node(f"resolve packages in {self._scratch}"):
                self._scratch.mkdir(parents=True, exist_ok=True)
                root = Path(tempfile.mkdtemp(prefix="resolve-", dir=self._scratch))
                workshop = Workshop(root, self._cache, build_user(self._build_user, self._web_user), self._environ)
                with workshop.at_work():
                    locked = self._resolution(workshop, sources.indexes, previous).wheels(sources)
                    if self._assembly is not None:
                        with self._progress.step("checking packages"):
                            self._assembly.require(workshop, locked, sources.overlaps)
            yield locked
        finally:
            if root is not None:
                files.remove_tree(root)

    def _resolution(self, workshop: Workshop, wanted: Indexes, previous: Sequence[Wheel]) -> Resolution:
        target = self.target
        fits = Fits(target)
        kept = self._cache / caches.BUILT / f"{target.python}-{target.platform}"
        # Read for each resolution: an admin's change of pip's configuration applies from the next publication on.
        pip = tools.pip_configuration(self._python, self._environ, Path("/"))
        where = indexes.places(wanted, indexes.of_machine(self._environ, pip))
        bench = Tools(
            self._python,
            workshop,
            where,
            indexes.transport(pip),
            configured=wanted != Indexes(),
            patience=self._patience,
        )

        def build(filename: str, source: Path) -> Path:
            return bench.build(filename, source, workshop.outbox(f"built-{filename}"))

        locals_ = Locals(
            workshop, fits, build, kept=kept, previous=previous, blobs=self._blobs, progress=self._progress
        )
        return Resolution(workshop, bench, locals_, fits, previous=previous, progress=self._progress)
