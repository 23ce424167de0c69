"""What an admin puts into the inbox by command: validated first, written by compare-and-swap, then published."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from da_agent import ports
from da_agent.domain.packages import distributions, requirements
from da_agent.domain.store import keys
from da_agent.domain.store.blobs import blob_of
from da_agent.domain.store.inboxes import Entry, Inbox, Verdict
from da_agent.errors import AgentError, Conflict, Invalid, NotFound, NotHere, OutcomeUnknown, Unreachable
from da_agent.workflows.publish.drafts import Draft, Drafts, overlaid
from da_agent.workflows.publish.publisher import Publisher
from da_agent.workflows.records.inboxes import Inboxes
from da_agent.workflows.records.leases import Leases
from da_agent.workflows.records.ledgers import Ledger

ATTEMPTS = 20
"""How often a push starts again while others change the inbox."""

DOUBTS = 3
"""How often an object is written that gets no clear answer."""


@dataclass(frozen=True, slots=True)
class InboxWrites:
    """Objects to put into the inbox, and keys to delete from it."""

    puts: Mapping[str, bytes | Path]
    deletes: frozenset[str] = frozenset()


class Pushes:
    """Changes the inbox so that it is valid before and after."""

    def __init__(
        self,
        store: ports.Store,
        ledger: Ledger,
        inboxes: Inboxes,
        *,
        drafts: Drafts,
        publisher: Publisher,
        leases: Leases,
    ) -> None:
        self._store = store
        self._drafts = drafts
        self._publisher = publisher
        self._leases = leases
        self._inboxes = inboxes
        self._ledger = ledger

    def push(self, change: Callable[[Inbox], InboxWrites], reason: str) -> Verdict:
        """Apply `change` to the current inbox, write the result, and publish it.

        When others change the inbox at the same time, `change` is called again with the new inbox. Invalid, before
        anything is written, when the result is not valid, or would undo a concurrent write.

        When this machine cannot resolve packages but the rest is valid, the inbox is written all the same, and NotHere
        is raised: a node will publish the inbox.
        """
        # The nodes see the inbox change before the release is made. While this process has the lease, they leave it
        # alone.
        self._leases.claim()
        try:
            with self._leases.renewed():
                return self._again(change, reason)
        finally:
            # An error is harmless: the lease expires by itself.
            with suppress(AgentError):
                self._leases.release()

    def _again(self, change: Callable[[Inbox], InboxWrites], reason: str) -> Verdict:
        """Repeat the push on the new inbox, as long as others change it at the same time."""
        lost: tuple[str, bytes | Path] | None = None
        for _ in range(ATTEMPTS):
            try:
                return self._push(change, reason, lost)
            except _Forestalled as forestalled:
                lost = forestalled.key, forestalled.body
            except Conflict:
                continue
        raise Invalid(f"cannot push to {self._store.name}: the inbox keeps changing. Push again")

    def _push(
        self, change: Callable[[Inbox], InboxWrites], reason: str, lost: tuple[str, bytes | Path] | None
    ) -> Verdict:
        inbox = self._inboxes.list()
        made = change(inbox)
        if lost is not None and made.puts.get(lost[0]) == lost[1]:
            # This change does not build on the concurrent write, but would undo it.
            raise Invalid(
                f"cannot write {lost[0]}: another process changed it at the same time; look at it, then push again"
            )
        verdict = self._inboxes.verdict()
        top = self._ledger.top()
        draft = Draft(overlaid(inbox, made.puts, made.deletes), made.puts, verdict.known if verdict is not None else {})
        try:
            with self._drafts.prepare(draft, top.contents) as prepared:
                written = self._write(inbox, made)
                with self._left_to_nodes():
                    published = self._publisher.publish_prepared(prepared, reason, inbox, written)
        except _Left:
            raise
        except NotHere:
            self._write(inbox, made)
            raise
        if published is None:
            # Another change came into the inbox meanwhile: everything is validated again, as after a change by a plain
            # tool.
            with self._left_to_nodes():
                published = self._publisher.publish(reason, own=frozenset(made.puts))
        return published

    @contextmanager
    def _left_to_nodes(self) -> Iterator[None]:
        """Once the inbox is written, an unreachable store is no failure: the release exists, or a node makes it."""
        try:
            yield
        except Unreachable as error:
            raise _Left(
                f"the inbox of {self._store.name} is written, but the store no longer answers: {error}"
            ) from error

    def _write(self, inbox: Inbox, change: InboxWrites) -> dict[str, str]:
        """Apply `change`; returns the new tags by key, "" for a deleted key."""
        written = {key: self._put(inbox.entry(key), key, body) for key, body in change.puts.items()}
        for key in change.deletes:
            self._store.delete(key)
            written[key] = ""
        return written

    def _put(self, entry: Entry | None, key: str, body: bytes | Path) -> str:
        condition: ports.Condition = ports.IfAbsent() if entry is None else ports.IfTag(entry.tag)
        for _ in range(DOUBTS):
            try:
                return self._store.write(key, body, condition)
            except (Conflict, NotFound) as lost:
                raise _Forestalled(key, body) from lost
            except OutcomeUnknown:
                tag = self._own(key, body)
                if tag is not None:
                    return tag
        raise Unreachable(f"cannot tell whether {key} was written to {self._store.name}: push again")

    def _own(self, key: str, body: bytes | Path) -> str | None:
        """The tag of the object at `key` when it has these bytes, else None."""
        # The tag is read first: an object that is replaced between the two requests must not count as written by this
        # push.
        there = next((entry for entry in self._store.scan(key) if entry.key == key), None)
        blob = blob_of(body if isinstance(body, bytes) else body.read_bytes())
        with suppress(NotFound):
            if there is not None and self._ledger.reader.copy(key, blob) is not None:
                return there.tag
        return None


class _Forestalled(Conflict):
    """An object of the inbox has changed since it was listed."""

    def __init__(self, key: str, body: bytes | Path) -> None:
        super().__init__(f"{key} was changed at the same time")
        self.key = key
        self.body = body


class _Left(NotHere):
    """The inbox is written; the nodes publish it."""


def config(data: bytes) -> InboxWrites:
    return InboxWrites({keys.CONFIG: data})


def certificates(files: Mapping[str, bytes]) -> InboxWrites:
    """Add the files; a file replaces the one of the same name, the others stay."""
    return InboxWrites({f"{keys.CERTIFICATES}{name}": data for name, data in files.items()})


def packages(inbox: Inbox, text: bytes, specs: tuple[str, ...], files: Mapping[str, Path]) -> InboxWrites:
    """Add requirement lines and distributions. A distribution replaces every other one of the same package, older or
    newer.
    """
    puts: dict[str, bytes | Path] = {}
    new = text
    for spec in specs:
        new = requirements.add(new, spec)
    if new != text:
        puts[keys.REQUIREMENTS] = new
    puts |= {f"{keys.PACKAGES}{name}": path for name, path in files.items()}
    names = {distributions.distribution(name).name for name in files} - {None}
    deletes = frozenset(
        entry.key for entry in _distributions(inbox) if entry.key not in puts and _name(entry.key) in names
    )
    return InboxWrites(puts, deletes)


def without(inbox: Inbox, text: bytes, name: str) -> InboxWrites:
    """Remove a package: its requirement line and its distributions. Invalid when there is neither."""
    wanted = requirements.normalise(name)
    deletes = frozenset(entry.key for entry in _distributions(inbox) if _name(entry.key) == wanted)
    new = requirements.remove(text, name)
    if new == text and not deletes:
        raise Invalid(
            f"there is no package {name} in the inbox. A dependency is removed together with the package that needs it"
        )
    return InboxWrites({keys.REQUIREMENTS: new} if new != text else {}, deletes)


def _distributions(inbox: Inbox) -> list[Entry]:
    return [entry for entry in inbox.below(keys.PACKAGES) if entry.key != keys.REQUIREMENTS]


def _name(key: str) -> str | None:
    try:
        return distributions.distribution(key.removeprefix(keys.PACKAGES)).name
    except Invalid:
        return None
