"""The one way in for the store's bytes: it returns only bytes with the right hash, or records with the right shape."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from da_agent import ports
from da_agent.domain import limits, records, texts
from da_agent.domain.config.settings import Settings
from da_agent.domain.node.reports import Report
from da_agent.domain.release.releases import Release
from da_agent.domain.rollout import rollouts
from da_agent.domain.rollout.rollouts import Rollout
from da_agent.domain.store import keys, leases
from da_agent.domain.store.blobs import PUT_BACK, Blob, blob_of
from da_agent.domain.store.inboxes import Entry, Verdict
from da_agent.domain.store.leases import Lease
from da_agent.errors import Conflict, Corrupt, Invalid, NotFound, StoreDamaged, UnknownFormat, Unreachable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """A record as it was read: value, tag and modification time belong together."""

    value: T
    tag: str
    modified_at: datetime


class Reader:
    """Reads one store. Every method may raise what each method of ports.Store may raise.

    Corrupt, naming the record, when a record is incomplete, too large, or does not match its key.
    """

    def __init__(self, store: ports.Store) -> None:
        self._store = store

    @property
    def name(self) -> str:
        """The store's name, for messages."""
        return self._store.name

    # ---- blobs

    def blob(self, blob: Blob, release: Release | None) -> bytes:
        """The bytes of a configuration or a certificate that `release` needs.

        StoreDamaged, with the remedy, when the store has no such blob or other bytes under its name. Corrupt when the
        release names a blob that is larger than `limits.WRITTEN`.
        """
        key = keys.blob_key(blob)
        if blob.size > limits.WRITTEN:
            raise Corrupt(
                f"cannot read {key} in {self.name}: its size in the release is {blob.size} bytes;"
                f" {limits.WRITTEN} are allowed"
            )
        try:
            data = self._bounded(key, blob.size)
        except NotFound as absent:
            raise StoreDamaged(f"{key} is missing from {self.name}{_remedy(release)}") from absent
        if data is None or blob_of(data) != blob:
            raise StoreDamaged(f"{key} in {self.name} has other bytes than its name says{_remedy(release)}")
        return data

    def settings(self, release: Release) -> Settings:
        """The settings in the configuration of `release`. StoreDamaged and Corrupt as for `blob`; Invalid when it is
        not valid.
        """
        # Imported here: a command that only reads rollouts does not wait for the YAML parser.
        from da_agent.domain.config import configurations

        data = self.blob(release.contents.config, release)
        try:
            return configurations.parse(data).settings
        except Invalid as refused:
            raise Invalid(f"cannot use the configuration of release {release.number}: {refused}") from refused

    # ---- records

    def release(self, number: int) -> Release:
        """The manifest of release `number`; NotFound when there is none."""
        key = keys.release_key(number)
        release = self._sealed(Release, key).value
        if release.number != number:
            raise Corrupt(f"{key} in {self.name} has wrong contents: those of release {release.number}")
        return release

    def has_release(self, number: int) -> bool:
        """True also when the manifest is damaged; takes one GET."""
        try:
            self._store.read(keys.release_key(number))
        except NotFound:
            return False
        except Corrupt:
            return True
        return True

    def rollout(self, number: int) -> Found[Rollout]:
        """The rollout record of release `number`; NotFound when it is not open yet."""
        key = keys.rollout_key(number)
        found = self._sealed(Rollout, key)
        if found.value.release != number:
            raise Corrupt(f"{key} in {self.name} has wrong contents: the rollout of release {found.value.release}")
        if rollouts.latest(found.value) > found.modified_at + limits.SLOT + limits.CLOCKS:
            raise Corrupt(f"{key} in {self.name} has a time that is longer than a slot after it was written")
        return found

    def report(self, key: str) -> Found[Report]:
        """The report under `key`; NotFound when the node has none."""
        node = keys.reporter(key)
        if node is None:
            raise Corrupt(f"{texts.visible(key)} in {self.name} is not a report: no node has this name")
        found = self._sealed(Report, key)
        if found.value.node != node:
            raise Corrupt(f"{key} in {self.name} has wrong contents: the report of {found.value.node}")
        return found

    def verdict(self) -> Verdict:
        """The verdict on the inbox; NotFound before there is one."""
        return self._sealed(Verdict, keys.VERDICT).value

    def lease(self, key: str) -> Found[Lease | None]:
        """The lease under `key`; NotFound before there is one. A damaged lease has no value, and can be replaced by its
        tag. UnknownFormat for the lease of a newer agent.

        It ends after the longest term that an agent gives, whatever it says.
        """
        try:
            stored = self._store.read(key)
        except Corrupt:
            return self._damaged_lease(key)
        lease: Lease | None
        try:
            lease = leases.limited(
                records.decode(Lease, stored.data, key),
                leases.longest(key),
                written_at=stored.modified_at,
                now=self._store.clock(),
            )
        except UnknownFormat:
            raise
        except Corrupt:
            lease = None
        return Found(lease, stored.tag, stored.modified_at)

    def _damaged_lease(self, key: str) -> Found[Lease | None]:
        """A lease that is too large to be read."""
        entry = self._entry(key)
        return Found(None, entry.tag, entry.modified_at)

    def tag(self, key: str) -> str:
        """The tag of a record that may be damaged, in order to replace it. NotFound when there is none."""
        return self._entry(key).tag

    def _entry(self, key: str) -> Entry:
        found = next((entry for entry in self._store.scan(key) if entry.key == key), None)
        if found is None:
            raise NotFound(f"there is no {key} in {self.name}")
        return found

    def _sealed(self, kind: type[T], key: str) -> Found[T]:
        stored = self._store.read(key)
        return Found(records.unseal(kind, stored.data, key), stored.tag, stored.modified_at)

    # ---- files of users

    def written(self, key: str, most: int = limits.WRITTEN) -> bytes:
        """A small file of the inbox, or of another folder that users write to.

        NotFound when it does not exist; Invalid when it is larger than `most` bytes.
        """
        data = self._bounded(key, most)
        if data is None:
            raise Invalid(f"cannot read {key} in {self.name}: it has more than {most} bytes")
        return data

    def copy(self, key: str, blob: Blob) -> bytes | None:
        """The bytes of `blob` from under another key; None when the object has other bytes. NotFound when there is no
        object.
        """
        data = self._bounded(key, blob.size)
        return data if data is not None and blob_of(data) == blob else None

    def _bounded(self, key: str, most: int) -> bytes | None:
        """The bytes of an object; None when it has more than `most`. Memory holds at most one chunk beyond `most`."""
        body = bytearray()
        try:
            self._store.fetch(key, _up_to(body, most))
        except _TooLarge:
            return None
        except Conflict as lost:
            raise Unreachable(f"cannot read {key}: {lost}") from lost
        return bytes(body)


class _TooLarge(Exception):
    """The object has more bytes than allowed."""


def _up_to(body: bytearray, most: int) -> Callable[[bytes], None]:
    def take(chunk: bytes) -> None:
        body.extend(chunk)
        if len(body) > most:
            raise _TooLarge

    return take


def _remedy(release: Release | None) -> str:
    return f"; {PUT_BACK}" if release is None else f", and release {release.number} needs it; {PUT_BACK}"
