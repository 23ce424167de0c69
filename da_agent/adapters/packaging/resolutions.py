"""One resolution, from its sources to its wheels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from da_agent import ports
from da_agent.adapters.packaging import archives, locks, wheels
from da_agent.adapters.packaging.builds import Local, Locals
from da_agent.adapters.packaging.bytecodes import Bytecodes
from da_agent.adapters.packaging.locks import Artifact, Pick
from da_agent.adapters.packaging.tools import Tools
from da_agent.adapters.packaging.wheels import Fits
from da_agent.adapters.packaging.workshops import Workshop
from da_agent.domain.packages.locked import Locked, Sources
from da_agent.domain.packages.wheels import Wheel
from da_agent.errors import Invalid

COPIES = 10
"""How many times its size a wheel needs on disk: pip's cache, the fetched file, the agent's copy, two copies with
bytecode, the blob, and the unpacked wheel, which is three times as large."""


@dataclass(frozen=True, slots=True)
class Download:
    """A distribution to fetch from an index. `source` is the sha256 of the sdist to build; None for a wheel."""

    name: str
    artifact: Artifact
    source: str | None


class Resolution:
    """One resolution: gathers the local distributions, locks, then fetches what the cluster lacks."""

    def __init__(
        self,
        workshop: Workshop,
        tools: Tools,
        locals_: Locals,
        fits: Fits,
        *,
        previous: Sequence[Wheel],
        progress: ports.Progress,
    ) -> None:
        self._workshop = workshop
        self._tools = tools
        self._bytecodes = Bytecodes(workshop, tools, fits.target.python, progress)
        self._locals = locals_
        self._fits = fits
        self._previous = [wheel for wheel in previous if fits.rank(wheel.filename) is not None]
        self._progress = progress

    def wheels(self, sources: Sources) -> tuple[Locked, ...]:
        """The locked wheels, sorted by name; their paths are in the workshop.

        Raises Invalid when distributions are wrong, or when the requirements cannot be locked.
        """
        local = self._locals.gather(sources.distributions)
        picks = self._lock(sources.requirements, local)
        found: dict[str, Locked] = {}
        wanted: list[Download] = []
        for pick in picks:
            reused = self._reused(pick)
            if pick.name in local:
                found[pick.name] = self._locked_local(local[pick.name])
            elif reused is not None:
                found[pick.name] = Locked(reused, None)
            else:
                wanted.append(self._choose(pick))
        if wanted:
            found |= self._fetch(wanted)
        return self._compiled(tuple(found[name] for name in sorted(found)))

    def _compiled(self, found: Sequence[Locked]) -> tuple[Locked, ...]:
        """Add bytecode to each wheel that the cluster lacks; its record keeps the sha256 of the original bytes."""
        made = self._bytecodes.add([each.path for each in found if each.path is not None])
        return tuple(each if each.path is None else _repacked(each.wheel, made[each.path.name]) for each in found)

    def _lock(self, requirements: Sequence[str], local: Mapping[str, Local]) -> tuple[Pick, ...]:
        """uv's resolution. A local distribution is given by URL, so that none of an index can replace it."""
        lines = [*requirements, *(f"{name} @ {each.lent.as_uri()}" for name, each in sorted(local.items()))]
        listed = self._workshop.given / "requirements.in"
        listed.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        lock = self._workshop.outbox("lock", {"pylock.toml": locks.preferences(self._previous)}) / "pylock.toml"
        with self._progress.step("resolving packages"):
            self._tools.lock(listed, lock)
        # The builder may have replaced the file, for example by a link: only a regular file is read.
        return locks.parse(self._workshop.take(lock), local)

    def _locked_local(self, local: Local) -> Locked:
        if local.before is not None:
            return Locked(local.before, None)
        wheel = wheels.wheel(local.lent, local.source)
        known = next((each for each in self._previous if wheel.blob.sha256 == each.origin), None)
        return Locked(wheel, local.lent) if known is None else Locked(known, None)

    def _reused(self, pick: Pick) -> Wheel | None:
        """The previous release's wheel, when the lock still contains it or the sdist that it was built from."""
        hashes = {artifact.sha256 for artifact in pick.wheels}
        for wheel in self._previous:
            if wheel.name == pick.name:
                if wheel.origin in hashes:
                    return wheel
                if pick.sdist is not None and wheel.source == pick.sdist.sha256 and self._best(pick) is None:
                    return wheel
        return None

    def _best(self, pick: Pick) -> Artifact | None:
        ranks = [(self._fits.rank(artifact.filename), artifact) for artifact in pick.wheels]
        fitting = [(rank, artifact) for rank, artifact in ranks if rank is not None]
        return min(fitting, key=lambda pair: (pair[0], pair[1].filename))[1] if fitting else None

    def _choose(self, pick: Pick) -> Download:
        best = self._best(pick)
        if best is not None:
            return Download(pick.name, best, None)
        if pick.sdist is None:
            raise Invalid(f"cannot install {pick.name}: its index has neither its source nor a wheel for this Python")
        return Download(pick.name, pick.sdist, pick.sdist.sha256)

    def _fetch(self, wanted: Sequence[Download]) -> dict[str, Locked]:
        links = self._workshop.given / "links.txt"
        lines = [f"{each.name} @ {each.artifact.url} --hash=sha256:{each.artifact.sha256}\n" for each in wanted]
        links.write_text("".join(lines), encoding="utf-8")
        self._workshop.require_room("fetch the packages", COPIES * sum(each.artifact.size for each in wanted))
        into = self._workshop.outbox("fetched")
        with self._progress.work("fetching packages", len(wanted), "packages") as advance:
            self._tools.fetch(links, into, advance)
        made = {wheels.title(path.name).name: path for path in sorted(into.glob("*.whl"))}
        found = {each.name: self._locked(each, made.get(each.name)) for each in wanted}
        # Checked before these files are compiled: that reads them, too.
        archives.listings([each.path for each in found.values() if each.path is not None])
        return found

    def _locked(self, wanted: Download, made: Path | None) -> Locked:
        if made is None:
            raise Invalid(
                f"cannot install {wanted.name}: {wanted.artifact.filename} contains a package of another name"
            )
        path = self._workshop.take(made)
        self._fits.require(path.name)
        wheel = wheels.wheel(path, wanted.source)
        if wanted.source is None and wheel.blob.sha256 != wanted.artifact.sha256:
            raise Invalid(f"cannot install {wanted.name}: {path.name} was changed while it was fetched")
        return Locked(wheel, path)


def _repacked(wheel: Wheel, path: Path) -> Locked:
    return Locked(replace(wheel, blob=wheels.blob(path), original=wheel.blob.sha256), path)
