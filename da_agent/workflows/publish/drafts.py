"""From a present or planned inbox to the contents of a release: everything is validated before anything is stored."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from cryptography.x509 import Certificate

from da_agent import ports
from da_agent.domain import limits
from da_agent.domain.certificates import file_names, validity
from da_agent.domain.certificates.server_chains import ServerChain
from da_agent.domain.config import configurations
from da_agent.domain.config.configurations import Configuration
from da_agent.domain.config.settings import Settings
from da_agent.domain.node import certificate_sources
from da_agent.domain.packages import distributions, requirements
from da_agent.domain.packages.locked import Locked, Sources
from da_agent.domain.packages.overlaps import Overlap
from da_agent.domain.packages.wheels import Target
from da_agent.domain.release.releases import Contents
from da_agent.domain.store import keys
from da_agent.domain.store.blobs import Blob, File, blob_of
from da_agent.domain.store.inboxes import Entry, Inbox, without_markers
from da_agent.domain.store.locations import Location
from da_agent.errors import Invalid, NotHere, Unreachable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Bodies = Mapping[Blob, bytes | Path]


@dataclass(frozen=True, slots=True)
class Draft:
    """A planned inbox: the store's listing with `overlay` put over it. `known` are blobs by key and tag."""

    inbox: Inbox
    overlay: Mapping[str, bytes | Path]
    known: Mapping[tuple[str, str], Blob]


@dataclass(frozen=True, slots=True)
class Prepared:
    """Validated contents, the bytes that the store may lack, and the blob of every object of the inbox."""

    contents: Contents
    bodies: Bodies
    blobs: Mapping[str, Blob]


class Drafts:
    """Validates drafts."""

    def __init__(
        self,
        *,
        snapshots: ports.Snapshots,
        resolver: ports.Resolver,
        progress: ports.Progress,
        now: Callable[[], datetime],
        trusted: Callable[[], Collection[Certificate]],
        handshake: Callable[[ServerChain], str | None],
        admit: Callable[[Target], None] = lambda _: None,
        home: Location | None = None,
        settings: Callable[[Contents], Settings] = lambda _: Settings(),
    ) -> None:
        """`admit` raises NotHere when packages that are resolved for a target would not fit the cluster's nodes.

        `home` is the location of the store: a configuration must not take certificates from any other place.
        `settings` returns those of a release.
        """
        self._snapshots = snapshots
        self._resolver = resolver
        self._progress = progress
        self._now = now
        self._trusted = trusted
        self._handshake = handshake
        self._admit = admit
        self._home = home
        self._settings = settings

    @contextmanager
    def prepare(self, draft: Draft, before: Contents | None) -> Iterator[Prepared]:
        """The draft's contents; paths in `bodies` are valid inside the context.

        Invalid with every mistake that can be found together. Conflict when the inbox changed while it was read.
        NotHere or Unreachable when its packages cannot be resolved on this machine.
        """
        _require_counts(draft)
        with ExitStack() as stack:
            snapshot = stack.enter_context(self._snapshots.take(draft.inbox.entries, draft.overlay))
            mistakes: list[str] = []
            config, configuration = self._config(draft, snapshot, mistakes)
            files, bodies = self._certificates(draft, snapshot, before, mistakes)
            if configuration is not None:
                mistakes += certificate_sources.mistakes(configuration.root, self._home, bool(files))
            lines = self._requirements(draft, snapshot, mistakes)
            if mistakes or configuration is None:
                raise Invalid(mistakes)
            bodies[blob_of(config)] = config
            blobs = {f"{keys.CERTIFICATES}{file.name}": file.blob for file in files}
            blobs[keys.CONFIG] = blob_of(config)
            sources = self._sources(draft, snapshot)
            blobs |= {f"{keys.PACKAGES}{source.name}": source.blob for source in sources}
            overlaps = configuration.settings.overlaps
            if before is not None and (not sources or self._is_resolved(before, sources, overlaps)):
                # Nothing to resolve: any machine can do that.
                wheels = before.wheels if sources else ()
                yield Prepared(Contents(blob_of(config), files, sources, before.target, wheels), bodies, blobs)
                return
            contents = Contents(blob_of(config), files, sources, self._resolver.target, ())
            if sources:
                self._admit(contents.target)
            locked = stack.enter_context(self._locked(draft, snapshot, configuration, lines, before))
            bodies |= {each.wheel.blob: each.path for each in locked if each.path is not None}
            yield Prepared(replace(contents, wheels=tuple(each.wheel for each in locked)), bodies, blobs)

    def _is_resolved(self, before: Contents, sources: tuple[File, ...], overlaps: tuple[Overlap, ...]) -> bool:
        """Whether the wheels of the release before are those of these sources, installed in the same order."""
        return before.sources == sources and self._settings(before).overlaps == overlaps

    def _config(
        self, draft: Draft, snapshot: ports.Snapshot, mistakes: list[str]
    ) -> tuple[bytes, Configuration | None]:
        if draft.inbox.entry(keys.CONFIG) is None:
            mistakes.append(f"{keys.CONFIG} is missing from the inbox: put the configuration there")
            return b"", None
        try:
            data = _small(draft, snapshot, keys.CONFIG)
            return data, configurations.parse(data)
        except Invalid as refused:
            mistakes += refused.mistakes
            return b"", None

    def _certificates(
        self, draft: Draft, snapshot: ports.Snapshot, before: Contents | None, mistakes: list[str]
    ) -> tuple[tuple[File, ...], dict[Blob, bytes | Path]]:
        try:
            read = {
                entry.key.removeprefix(keys.CERTIFICATES): _small(draft, snapshot, entry.key)
                for entry in draft.inbox.below(keys.CERTIFICATES)
            }
        except Invalid as refused:
            mistakes += refused.mistakes
            return (), {}
        if misnamed := tuple(file_names.impossible(read)):
            mistakes += misnamed
            return (), {}
        files = tuple(sorted(File(name, blob_of(data)) for name, data in read.items()))
        # Only changed certificates are validated: those that are already served must not block another change.
        if before is None or files != before.certificates:
            try:
                for good in validity.check(read, now=self._now(), trusted=self._trusted(), handshake=self._handshake):
                    for line in good.told:
                        self._progress.say(line)
            except Invalid as refused:
                mistakes += refused.mistakes
        return files, {blob_of(data): data for data in read.values()}

    def _requirements(self, draft: Draft, snapshot: ports.Snapshot, mistakes: list[str]) -> tuple[str, ...]:
        for entry in draft.inbox.below(keys.PACKAGES):
            if entry.key != keys.REQUIREMENTS:
                try:
                    distributions.distribution(entry.key.removeprefix(keys.PACKAGES))
                except Invalid as refused:
                    mistakes += refused.mistakes
        if draft.inbox.entry(keys.REQUIREMENTS) is None:
            return ()
        try:
            return requirements.parse(_small(draft, snapshot, keys.REQUIREMENTS))
        except Invalid as refused:
            mistakes += refused.mistakes
            return ()

    def _sources(self, draft: Draft, snapshot: ports.Snapshot) -> tuple[File, ...]:
        entries = draft.inbox.below(keys.PACKAGES)
        known = {entry.key: draft.known.get((entry.key, entry.tag)) for entry in entries}
        fetched = snapshot.fetch(key for key, blob in known.items() if blob is None)
        blobs = {key: blob or fetched[key][0] for key, blob in known.items()}
        return tuple(sorted(File(key.removeprefix(keys.PACKAGES), blob) for key, blob in blobs.items()))

    @contextmanager
    def _locked(
        self,
        draft: Draft,
        snapshot: ports.Snapshot,
        configuration: Configuration,
        lines: tuple[str, ...],
        before: Contents | None,
    ) -> Iterator[tuple[Locked, ...]]:
        packages = [entry.key for entry in draft.inbox.below(keys.PACKAGES) if entry.key != keys.REQUIREMENTS]
        if not packages and not lines:
            yield ()
            return
        fetched = snapshot.fetch(packages)
        distributions = {key.removeprefix(keys.PACKAGES): path for key, (_, path) in fetched.items()}
        fits = before is not None and before.target == self._resolver.target
        previous = before.wheels if before is not None and fits else ()
        sources = Sources(lines, distributions, configuration.indexes, configuration.settings.overlaps)
        with ExitStack() as stack:
            try:
                locked = stack.enter_context(self._resolver.resolve(sources, previous))
            except Unreachable as error:
                # The index is unreachable, not the store: another machine may reach it.
                raise NotHere(str(error)) from error
            yield locked


def _require_counts(draft: Draft) -> None:
    """Raise Invalid, before a byte is read, when the inbox has too many objects, or a package that is too large."""
    entries = draft.inbox.entries
    if len(entries) > limits.OBJECTS:
        raise Invalid(f"the inbox has {len(entries)} objects, and may have {limits.OBJECTS}: delete some")
    sizes = {each.key: each.size for each in entries}
    sizes |= {key: len(body) if isinstance(body, bytes) else body.stat().st_size for key, body in draft.overlay.items()}
    large = [(key, size) for key, size in sizes.items() if size > limits.DISTRIBUTION]
    if large:
        raise Invalid(f"{key} has {size} bytes, and may have {limits.DISTRIBUTION}" for key, size in sorted(large))


def _small(draft: Draft, snapshot: ports.Snapshot, key: str) -> bytes:
    """The bytes of a small object, to be held in memory. Invalid when it is too large; then it is not read if the
    listing tells its size.
    """
    entry = draft.inbox.entry(key)
    size = 0 if entry is None else entry.size
    data = b"" if size > limits.WRITTEN else snapshot.read(key)
    if max(size, len(data)) > limits.WRITTEN:
        raise Invalid(f"{key} has {max(size, len(data))} bytes; it may have {limits.WRITTEN} at most")
    return data


def overlaid(inbox: Inbox, puts: Mapping[str, bytes | Path], deletes: Collection[str]) -> Inbox:
    """The listing after the change; objects that are not written yet have an empty tag."""
    left = (entry for entry in inbox.entries if entry.key not in puts and entry.key not in deletes)
    kept = without_markers(left, puts)
    newest = max((entry.modified_at for entry in inbox.entries), default=_EPOCH)
    return Inbox(tuple(sorted((*kept, *(Entry(key, 0, "", newest) for key in puts)))))
