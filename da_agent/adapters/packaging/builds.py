"""Local distributions as wheels; each source is built once."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

from da_agent import ports
from da_agent.adapters.packaging import archives, wheels
from da_agent.adapters.packaging.archives import Reading
from da_agent.adapters.packaging.wheels import Fits, Title
from da_agent.adapters.packaging.workshops import Workshop
from da_agent.domain.packages.distributions import Distribution, Kind, distribution
from da_agent.domain.packages.wheels import WHEEL, Wheel
from da_agent.errors import Invalid


@dataclass(frozen=True, slots=True)
class Local:
    """A distribution that comes from no index.

    `lent`: its wheel, at a path that the builder can read. `source`: the sha256 of the source it was built from.
    `before`: the previous release's wheel that was built from the same bytes.
    """

    title: Title
    lent: Path
    source: str | None = None
    before: Wheel | None = None


class Locals:
    """Makes one wheel of each distribution's newest version.

    `build` makes a wheel of a source in a new folder and returns its path. `kept` caches built wheels by the sha256 of
    their source, and drops those whose source is no longer given.
    """

    def __init__(
        self,
        workshop: Workshop,
        fits: Fits,
        build: Callable[[str, Path], Path],
        *,
        kept: Path,
        previous: Sequence[Wheel],
        blobs: ports.Blobs | None,
        progress: ports.Progress,
    ) -> None:
        self._workshop = workshop
        self._fits = fits
        self._build = build
        self._kept = kept
        self._previous = previous
        self._blobs = blobs
        self._progress = progress

    def gather(self, distributions: Mapping[str, Path]) -> dict[str, Local]:
        """The best local distribution by name: the highest version, and a wheel before a source of equal version.

        Raises Invalid with every wrong file.
        """
        sources, best = self._checked(distributions)
        wanted = set()
        with self._progress.work("building packages", len(sources), "packages") as advance:
            for source, path in sources:
                if _may_win(source, best):
                    local = self._made(source.filename, path)
                    wanted.add(local.source)
                    self._prefer(local, best)
                advance(1)
        self._sweep({source for source in wanted if source})
        return best

    def _checked(self, distributions: Mapping[str, Path]) -> tuple[list[tuple[Distribution, Path]], dict[str, Local]]:
        """The sources, highest version first, and the best wheel by name. Raises Invalid with every wrong file."""
        sources: list[tuple[Distribution, Path]] = []
        best: dict[str, Local] = {}
        mistakes: list[str] = []
        given, wrong = self._fitting(distributions)
        kinds = [Reading.WHOLE if each.kind is Kind.WHEEL else Reading.SOURCE for each, _ in given]
        read = archives.read([(kind, path) for kind, (_, path) in zip(kinds, given, strict=True)])
        for (each, path), found in zip(given, read, strict=True):
            try:
                if isinstance(found, Invalid):
                    raise found
                if found is None:
                    sources.append((each, path))
                else:
                    wheels.check_wheel(each.filename, found)
                    self._prefer(Local(wheels.title(each.filename), self._workshop.lend(path, each.filename)), best)
            except Invalid as refused:
                mistakes += refused.mistakes
        if wrong or mistakes:
            raise Invalid(sorted(wrong + mistakes))
        sources.sort(key=lambda source: source[0].version or Version("0"), reverse=True)
        return sources, best

    def _fitting(self, distributions: Mapping[str, Path]) -> tuple[list[tuple[Distribution, Path]], list[str]]:
        """The distributions that this Python can use, by their names, and what is wrong with the other names."""
        fitting: list[tuple[Distribution, Path]] = []
        mistakes: list[str] = []
        for filename, path in sorted(distributions.items()):
            try:
                given = distribution(filename)
                if given.kind is Kind.WHEEL:
                    self._fits.require(filename)
                fitting.append((given, path))
            except Invalid as refused:
                mistakes += refused.mistakes
        return fitting, mistakes

    def _prefer(self, local: Local, best: dict[str, Local]) -> None:
        rival = best.get(local.title.name)
        if rival is None or self._worth(local) > self._worth(rival):
            best[local.title.name] = local

    def _worth(self, local: Local) -> tuple[Version, bool, int, tuple[int | str, ...]]:
        return (
            local.title.version,
            local.source is None,
            -self._fits.require(local.lent.name),
            local.title.build,
        )

    def _made(self, filename: str, path: Path) -> Local:
        source = wheels.blob(path).sha256
        before = next(
            (
                wheel
                for wheel in self._previous
                if wheel.source == source and self._fits.rank(wheel.filename) is not None
            ),
            None,
        )
        lent = self._lent_again(source, before)
        if lent is None:
            lent = self._build_and_keep(filename, path, source)
        return Local(wheels.title(lent.name), lent, source, before)

    def _lent_again(self, source: str, before: Wheel | None) -> Path | None:
        if before is not None and self._blobs is not None and self._blobs.has(before.blob):
            return self._workshop.lend(self._blobs.path(before.blob), before.filename)
        for made in (self._kept / source).glob(f"*{WHEEL}"):
            return self._workshop.lend(made, made.name)
        return None

    def _build_and_keep(self, filename: str, path: Path, source: str) -> Path:
        with self._progress.step(f"building {filename}"):
            made = self._build(filename, self._workshop.lend(path, filename))
        lent = self._workshop.take(made)
        (listing,) = archives.listings([lent])
        wheels.check_wheel(lent.name, listing)
        self._fits.require(lent.name)
        # The folder is renamed as a whole: a half-written wheel would be reused forever.
        unfinished = self._kept / f"new-{secrets.token_hex(6)}"
        unfinished.mkdir(parents=True)
        shutil.copyfile(lent, unfinished / lent.name)
        try:
            unfinished.rename(self._kept / source)
        except OSError:
            # Another process has built it meanwhile.
            shutil.rmtree(unfinished, ignore_errors=True)
        return lent

    def _sweep(self, wanted: set[str]) -> None:
        for folder in self._folders():
            if folder.name not in wanted:
                shutil.rmtree(folder, ignore_errors=True)

    def _folders(self) -> Iterator[Path]:
        if self._kept.is_dir():
            yield from (Path(entry.path) for entry in os.scandir(self._kept))


def _may_win(source: Distribution, best: Mapping[str, Local]) -> bool:
    """False when a better wheel is known already. Only a build can name the archive of a branch."""
    if source.name is None or source.version is None or source.name not in best:
        return True
    return best[source.name].title.version < source.version
