"""The one way in for the store's bytes: only what has the right hash, or the right shape, comes out."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from da_agent import ports
from da_agent.domain import records
from da_agent.domain.config.settings import Settings
from da_agent.domain.node.reports import Report
from da_agent.domain.release.releases import Release
from da_agent.domain.rollout.rollouts import Rollout
from da_agent.domain.store import keys, limits
from da_agent.domain.store.blobs import PUT_BACK, Blob, blob_of
from da_agent.domain.store.inboxes import Verdict
from da_agent.domain.store.leases import Lease
from da_agent.errors import Conflict, Corrupt, Invalid, NotFound, StoreDamaged, Unreachable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """A record as it was read: value, tag and modification time belong together."""

    value: T
    tag: str
    modified_at: datetime


class Reader:
    """Reads one store. Every method may raise what each method of ports.Store may raise.

    A record is Corrupt, which names it, when it is not whole, too large, or about something else than its key says.
    """

    def __init__(self, store: ports.Store) -> None:
        self._store = store

    @property
    def name(self) -> str:
        """The store's, for messages."""
        return self._store.name

    # ---- what a release is made of

    def blob(self, blob: Blob, release: Release | None) -> bytes:
        """The bytes of a configuration or a certificate, which `release` needs.

        StoreDamaged, with the remedy, when the store has no such blob or other bytes under its name. Corrupt when the
        release names one that is larger than `limits.WRITTEN`.
        """
        key = keys.blob_key(blob)
        if blob.size > limits.WRITTEN:
            raise Corrupt(f"cannot read {key} of {self.name}: its release says that it has {blob.size} bytes")
        try:
            data = self._bounded(key, blob.size)
        except NotFound as absent:
            raise StoreDamaged(f"{key} is missing from {self.name}{_remedy(release)}") from absent
        if data is None or blob_of(data) != blob:
            raise StoreDamaged(f"{key} in {self.name} has other bytes than its name says{_remedy(release)}")
        return data

    def settings(self, release: Release) -> Settings:
        """What the configuration of `release` says. StoreDamaged and Corrupt as `blob`; Invalid when it is none."""
        # A command that only looks at rollouts does not wait for what reads YAML.
        from da_agent.domain.config import configurations

        data = self.blob(release.contents.config, release)
        try:
            return configurations.parse(data).settings
        except Invalid as refused:
            raise Invalid(f"cannot use the configuration of release {release.number}: {refused}") from refused

    # ---- records

    def release(self, number: int) -> Release:
        """Absent when there is no such release."""
        key = keys.release_key(number)
        release = self._sealed(Release, key).value
        if release.number != number:
            raise Corrupt(f"{key} says that it is release {release.number}")
        return release

    def has_release(self, number: int) -> bool:
        """Also when its manifest is damaged: one GET."""
        try:
            self._store.read(keys.release_key(number))
        except NotFound:
            return False
        except Corrupt:
            return True
        return True

    def rollout(self, number: int) -> Found[Rollout]:
        """Absent when it is not open yet."""
        key = keys.rollout_key(number)
        found = self._sealed(Rollout, key)
        if found.value.release != number:
            raise Corrupt(f"{key} says that it is about release {found.value.release}")
        return found

    def report(self, key: str) -> Found[Report]:
        """Absent when the node has none."""
        return self._sealed(Report, key)

    def verdict(self) -> Verdict:
        """Absent before there is one."""
        return self._sealed(Verdict, keys.VERDICT).value

    def lease(self, key: str) -> Found[Lease | None]:
        """Absent before there is one; a damaged one has no value, and can be replaced by its tag."""
        stored = self._store.read(key)
        lease: Lease | None
        try:
            lease = records.decode(Lease, stored.data, key)
        except Corrupt:
            lease = None
        return Found(lease, stored.tag, stored.modified_at)

    def tag(self, key: str) -> str:
        """The tag of a record that may be damaged, in order to replace it. NotFound when there is none."""
        return self._store.read(key).tag

    def _sealed(self, kind: type[T], key: str) -> Found[T]:
        stored = self._store.read(key)
        return Found(records.unseal(kind, stored.data, key), stored.tag, stored.modified_at)

    # ---- what people write

    def written(self, key: str, most: int = limits.WRITTEN) -> bytes:
        """A small file of the inbox, or of another folder of people's. Absent; Invalid when it is larger than `most`
        bytes."""
        data = self._bounded(key, most)
        if data is None:
            raise Invalid(f"cannot read {key} in {self.name}: it has more than {most} bytes")
        return data

    def copy(self, key: str, blob: Blob) -> bytes | None:
        """The bytes of `blob` from under another key; None when something else is there. Absent when nothing is."""
        data = self._bounded(key, blob.size)
        return data if data is not None and blob_of(data) == blob else None

    def _bounded(self, key: str, most: int) -> bytes | None:
        """The bytes of an object; None, and only one chunk more than `most` was held, when it has more."""
        body = bytearray()
        try:
            self._store.fetch(key, _up_to(body, most))
        except _TooLarge:
            return None
        except Conflict as lost:
            raise Unreachable(f"cannot read {key}: {lost}") from lost
        return bytes(body)


class _TooLarge(Exception):
    """More has come than there may be."""


def _up_to(body: bytearray, most: int) -> Callable[[bytes], None]:
    def take(chunk: bytes) -> None:
        body.extend(chunk)
        if len(body) > most:
            raise _TooLarge

    return take


def _remedy(release: Release | None) -> str:
    return f"; {PUT_BACK}" if release is None else f", and release {release.number} needs it; {PUT_BACK}"
