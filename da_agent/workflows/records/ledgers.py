"""The append-only sequence of releases."""

from collections.abc import Callable
from dataclasses import dataclass

from da_agent import ports
from da_agent.domain import records
from da_agent.domain.release import numbering
from da_agent.domain.release.releases import Contents, Release
from da_agent.domain.store import keys
from da_agent.errors import Conflict, Corrupt, NotFound, OutcomeUnknown, UnknownFormat
from da_agent.workflows.records.readers import Reader

APPEND_ATTEMPTS = 5


READ_BACK = 20
"""How many releases back a readable release is searched."""


@dataclass(frozen=True, slots=True)
class Top:
    """`number` is 0 while the ledger is empty. `release` may be an older one when that of `number` is damaged."""

    number: int
    release: Release | None

    @property
    def contents(self) -> Contents | None:
        return None if self.release is None else self.release.contents

    def then(self, release: Release) -> Release:
        """`release` as the next one after this top."""
        return release.after(self.number, self.release)


class Ledger:
    """Reads and appends releases; a release in the ledger never changes."""

    def __init__(self, store: ports.Store, reader: Reader) -> None:
        self._store = store
        self.reader = reader
        """Also reads the blobs that releases name."""

    def read(self, number: int) -> Release:
        """Release `number`. NotFound when there is none, Corrupt when its manifest is not valid."""
        return self.reader.release(number)

    def numbers(self) -> tuple[int, ...]:
        """Every release number in the store that belongs to the ledger, oldest first; takes one listing."""
        return self._listed()[0]

    def _listed(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The numbers that belong to the ledger, and those that are far beyond."""
        keys_ = (keys.release_number(entry.key) for entry in self._store.scan(keys.RELEASES))
        found = tuple(number for number in keys_ if number is not None)
        numbers = numbering.counted(found)
        return numbers, tuple(sorted(set(found) - set(numbers)))

    def head(self, known: int | None = None) -> int | None:
        """The newest number; None only when the store has clearly answered that there is none.

        `known` is a release that once existed: then each newer number costs one GET, and nothing is listed.
        """
        if known is None:
            numbers = self.numbers()
            if not numbers:
                return None
            known = numbers[-1]
        while self.reader.has_release(known + 1):
            known += 1
        return known

    def top(self, tell: Callable[[str], object] = lambda _: None) -> "Top":
        """The newest number, and the newest readable release: a damaged release must not block the next one.

        `tell` gets a sentence for each release that cannot be read, and for each object that is none.
        UnknownFormat for the release of a newer agent: what this agent would put after it could lose what it says.
        """
        numbers, far = self._listed()
        for each in far:
            tell(
                f"{keys.release_key(each)} in {self._store.name} is not the next release: its number is far beyond all"
                " others. Remove it"
            )
        number = max(numbers, default=0)
        for each in tuple(reversed(numbers))[:READ_BACK]:
            try:
                return Top(number, self.read(each))
            except UnknownFormat:
                raise
            except NotFound:
                continue
            except Corrupt as error:
                tell(str(error))
        return Top(number, None)

    def append(self, release: Release) -> None:
        """Append the release. Afterwards the ledger has it. Conflict when another release has its number.

        After a write without an answer, the nonce tells whose release is there; the same bytes may be sent again.
        OutcomeUnknown when the outcome stays unclear after APPEND_ATTEMPTS.
        """
        key, body = keys.release_key(release.number), records.seal(release)
        for _ in range(APPEND_ATTEMPTS):
            try:
                self._store.write(key, body, ports.IfAbsent())
            except (Conflict, OutcomeUnknown) as doubt:
                try:
                    if self.reader.release(release.number) == release:
                        return
                except NotFound:
                    continue
                except Corrupt:
                    pass
                raise Conflict(f"release {release.number} was published by another process at the same time") from doubt
            else:
                return
        raise OutcomeUnknown(
            f"cannot tell whether release {release.number} was written to {self._store.name}: try again"
        )
