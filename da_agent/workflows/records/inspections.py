"""The contents of a release, and the differences between two, as the store has them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from da_agent.domain.release import differences
from da_agent.domain.release.differences import Change
from da_agent.domain.release.releases import Contents, Release
from da_agent.domain.store.blobs import Blob
from da_agent.errors import NotFound
from da_agent.workflows.records.ledgers import Ledger


@dataclass(frozen=True, slots=True)
class View:
    """One release.

    `settings` are the values of its configuration by path, with secrets masked. `certificates` maps each file to the
    end of its validity. `packages` are versions by name.
    """

    number: int
    published_at: datetime
    publisher: str
    reason: str
    settings: dict[str, str]
    certificates: dict[str, str]
    packages: dict[str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """The differences between two releases, each tuple sorted by name."""

    before: int
    after: int
    configuration: tuple[Change, ...]
    certificates: tuple[Change, ...]
    packages: tuple[Change, ...]


def show(ledger: Ledger, number: int | None, clock: Callable[[], datetime]) -> View:
    """Release `number`, or the newest. NotFound when there is no such release, Corrupt when it is damaged.

    `clock` is the store's.
    """
    release, read = _release(ledger, number), ledger.reader.blob
    contents = release.contents
    return View(
        release.number,
        release.published_at,
        release.publisher,
        release.reason,
        differences.settings(read(contents.config, release)),
        differences.expiries(_certificates(contents, lambda each: read(each, release)), clock()),
        {wheel.name: wheel.version for wheel in contents.wheels},
    )


def diff(ledger: Ledger, before: int, after: int | None, clock: Callable[[], datetime]) -> Difference:
    """The differences from release `before` to `after`, or to the newest. Errors and `clock` are those of `show`."""
    old, new = _release(ledger, before), _release(ledger, after)

    def read(each: Blob) -> bytes:
        return ledger.reader.blob(each, old if each in old.contents.blobs() else new)

    found = compare(old.contents, new.contents, read, clock())
    return Difference(old.number, new.number, *found)


def compare(
    before: Contents | None, after: Contents, read: Callable[[Blob], bytes], now: datetime
) -> tuple[tuple[Change, ...], tuple[Change, ...], tuple[Change, ...]]:
    """The differences in configuration, certificates and packages. Everything counts as new when `before` is None."""
    if before is None:
        settings = differences.settings(read(after.config))
        added = tuple(Change(path, None, value) for path, value in settings.items())
        return added, differences.files({}, _certificates(after, read), now), differences.packages((), after.wheels)
    return (
        differences.configuration(read(before.config), read(after.config)),
        differences.files(_certificates(before, read), _certificates(after, read), now),
        differences.packages(before.wheels, after.wheels),
    )


def _release(ledger: Ledger, number: int | None) -> Release:
    wanted = ledger.head() if number is None else number
    if wanted is None:
        raise NotFound(f"{ledger.reader.name} has no release yet")
    try:
        return ledger.read(wanted)
    except NotFound as absent:
        raise NotFound(
            f"there is no release {wanted} in {ledger.reader.name}; da-agent history lists the releases"
        ) from absent


def _certificates(contents: Contents, read: Callable[[Blob], bytes]) -> dict[str, bytes]:
    return {file.name: read(file.blob) for file in contents.certificates}
