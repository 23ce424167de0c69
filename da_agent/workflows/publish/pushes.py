"""What an admin puts into the inbox by command: validated first, written by compare-and-swap, then adopted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from da_agent import ports
from da_agent.domain.packages import requirements
from da_agent.domain.store import keys
from da_agent.domain.store.inboxes import Entry, Inbox, Verdict
from da_agent.errors import Conflict, Invalid, NotFound, NotHere, OutcomeUnknown, Unreachable
from da_agent.workflows.publish.drafts import Draft, Drafts, overlaid
from da_agent.workflows.publish.publisher import Publisher
from da_agent.workflows.records.inboxes import Inboxes
from da_agent.workflows.records.leases import Leases
from da_agent.workflows.records.ledgers import Ledger


@dataclass(frozen=True, slots=True)
class Change:
    """Objects to put into the inbox and to take out of it."""

    puts: Mapping[str, bytes | Path]
    deletes: frozenset[str] = frozenset()


class Pushes:
    """Changes the inbox so that it is valid before and after."""

    def __init__(self, store: ports.Store, drafts: Drafts, publisher: Publisher, leases: Leases) -> None:
        self._store = store
        self._drafts = drafts
        self._publisher = publisher
        self._leases = leases
        self._inboxes = Inboxes(store)
        self._ledger = Ledger(store)

    def push(self, change: Callable[[Inbox], Change], reason: str) -> Verdict:
        """Write what `change` makes of the inbox as it is, and adopt it.

        Invalid before anything is written when the result would not be valid, or when somebody else changed the same
        objects at the same time. When this machine cannot resolve packages (NotHere) but the rest is valid, the inbox
        is written all the same and that error is raised: a node adopts it.
        """
        # The nodes see the inbox change before we have made the release: while we have the lease they leave it to us.
        self._leases.claim()
        try:
            return self._push(change, reason)
        finally:
            self._leases.release()

    def _push(self, change: Callable[[Inbox], Change], reason: str) -> Verdict:
        inbox = self._inboxes.list()
        made = change(inbox)
        verdict = self._inboxes.verdict()
        top = self._ledger.top()
        draft = Draft(overlaid(inbox, made.puts, made.deletes), made.puts, verdict.known if verdict is not None else {})
        try:
            with self._drafts.prepare(draft, top.contents) as prepared:
                written = self._write(inbox, made)
                published = self._publisher.publish_prepared(prepared, reason, inbox, written)
        except NotHere:
            self._write(inbox, made)
            raise
        if published is None:
            # Something else came into the inbox meanwhile: it is all validated again, as plain tools' changes are.
            published = self._publisher.publish(reason, own=frozenset(made.puts))
        return published

    def _write(self, inbox: Inbox, change: Change) -> dict[str, str]:
        """The new tags by key, "" for what is gone."""
        written = {}
        for key, body in change.puts.items():
            entry = inbox.entry(key)
            condition: ports.Condition = ports.IfAbsent() if entry is None else ports.IfTag(entry.tag)
            try:
                written[key] = self._store.write(key, body, condition)
            except (Conflict, NotFound) as lost:
                raise Invalid(
                    f"cannot write {key}: somebody else changed it at the same time; look at it, then push again"
                ) from lost
            except OutcomeUnknown as doubt:
                raise Unreachable(f"cannot tell whether {key} was written to {self._store.name}: push again") from doubt
        for key in change.deletes:
            self._store.delete(key)
            written[key] = ""
        return written


def config(data: bytes) -> Change:
    return Change({keys.CONFIG: data})


def certificates(files: Mapping[str, bytes]) -> Change:
    """These names replace their namesakes; the others stay."""
    return Change({f"{keys.CERTIFICATES}{name}": data for name, data in files.items()})


def packages(inbox: Inbox, text: bytes, specs: tuple[str, ...], files: Mapping[str, Path]) -> Change:
    """Add requirement lines and distributions. A distribution replaces the others of its name, an older one as well."""
    puts: dict[str, bytes | Path] = {}
    new = text
    for spec in specs:
        new = requirements.add(new, spec)
    if new != text:
        puts[keys.REQUIREMENTS] = new
    puts |= {f"{keys.PACKAGES}{name}": path for name, path in files.items()}
    names = {requirements.distribution(name).name for name in files} - {None}
    deletes = frozenset(
        entry.key for entry in _distributions(inbox) if entry.key not in puts and _name(entry.key) in names
    )
    return Change(puts, deletes)


def without(inbox: Inbox, text: bytes, name: str) -> Change:
    """Take a package out: its requirement line and its distributions. Invalid when there is neither."""
    wanted = requirements.normalise(name)
    deletes = frozenset(entry.key for entry in _distributions(inbox) if _name(entry.key) == wanted)
    new = requirements.remove(text, name)
    if new == text and not deletes:
        raise Invalid(f"there is no package {name} in the inbox; what a package needs itself is removed with it")
    return Change({keys.REQUIREMENTS: new} if new != text else {}, deletes)


def _distributions(inbox: Inbox) -> list[Entry]:
    return [entry for entry in inbox.below(keys.PACKAGES) if entry.key != keys.REQUIREMENTS]


def _name(key: str) -> str | None:
    try:
        return requirements.distribution(key.removeprefix(keys.PACKAGES)).name
    except Invalid:
        return None
