"""What is in a release, and what differs between two, as the store has them."""

from dataclasses import dataclass
from datetime import datetime

from da_agent import ports
from da_agent.domain import differences, keys
from da_agent.domain.blobs import Blob, blob_of
from da_agent.domain.differences import Change
from da_agent.domain.releases import Contents, Release
from da_agent.errors import Absent, Tampered
from da_agent.workflows.ledgers import Ledger


@dataclass(frozen=True, slots=True)
class View:
    """One release. `settings` are the values of its configuration by path, secrets masked; `certificates` say until
    when each file is valid; `packages` are versions by name."""

    number: int
    published_at: datetime
    publisher: str
    reason: str
    settings: dict[str, str]
    certificates: dict[str, str]
    packages: dict[str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """From one release to another, each sorted by name."""

    before: int
    after: int
    configuration: tuple[Change, ...]
    certificates: tuple[Change, ...]
    packages: tuple[Change, ...]


def show(store: ports.Store, number: int | None) -> View:
    """Release `number`, or the newest; Absent when there is no such one, Tampered when it is damaged."""
    release = _release(store, number)
    contents = release.contents
    return View(
        release.number,
        release.published_at,
        release.publisher,
        release.reason,
        differences.settings(_blob(store, contents.config)),
        differences.expiries(_certificates(store, contents), store.clock()),
        {wheel.name: wheel.version for wheel in contents.wheels},
    )


def diff(store: ports.Store, before: int, after: int | None) -> Difference:
    """From release `before` to `after`, or to the newest."""
    old, new = _release(store, before), _release(store, after)
    return Difference(
        old.number,
        new.number,
        differences.configuration(_blob(store, old.contents.config), _blob(store, new.contents.config)),
        differences.files(_certificates(store, old.contents), _certificates(store, new.contents), store.clock()),
        differences.packages(old.contents.wheels, new.contents.wheels),
    )


def _release(store: ports.Store, number: int | None) -> Release:
    ledger = Ledger(store)
    wanted = ledger.head() if number is None else number
    if wanted is None:
        raise Absent(f"{store.name} has no release yet")
    try:
        return ledger.read(wanted)
    except Absent as absent:
        raise Absent(
            f"there is no release {wanted} in {store.name}: da-agent history lists those there are"
        ) from absent


def _certificates(store: ports.Store, contents: Contents) -> dict[str, bytes]:
    return {file.name: _blob(store, file.blob) for file in contents.certificates}


def _blob(store: ports.Store, blob: Blob) -> bytes:
    """Small ones: what people wrote."""
    key = keys.blob_key(blob)
    try:
        data = store.read(key).data
    except Absent as absent:
        raise Tampered(f"{key} is missing from {store.name}, and a release needs it") from absent
    if blob_of(data) != blob:
        raise Tampered(f"{key} in {store.name} has other bytes than its name says")
    return data
