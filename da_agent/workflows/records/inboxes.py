"""The inbox as the store lists it, and the verdict on it."""

from collections.abc import Callable

from da_agent import ports
from da_agent.domain.store import keys
from da_agent.domain.store.inboxes import Inbox, Verdict, inbox_of
from da_agent.errors import Conflict, Corrupt, NotFound
from da_agent.workflows.records.ledgers import Ledger
from da_agent.workflows.records.readers import Reader


class Inboxes:
    """Reads the inbox and the verdict on it."""

    def __init__(self, store: ports.Store, reader: Reader) -> None:
        self._store = store
        self._reader = reader

    def list(self) -> Inbox:
        # The listing is limited to the inbox: docassemble may keep millions of its own files between these prefixes.
        return inbox_of(self._store.survey((keys.CERTIFICATES, keys.CONFIG, keys.PACKAGES)))

    def verdict(self, tell: Callable[[str], object] = lambda _: None) -> Verdict | None:
        """The last verdict on the inbox; None when there is none, or when the record is damaged: then `tell` gets a
        sentence.
        """
        try:
            return self._reader.verdict()
        except NotFound:
            return None
        except Corrupt as error:
            tell(str(error))
            return None


def first_configuration(store: ports.Store, ledger: Ledger, inboxes: Inboxes, render: Callable[[], bytes]) -> bool:
    """Give an empty store its first configuration; True when this caller wrote it.

    Only a store that has clearly answered that it has neither a ledger nor a configuration gets one; an unreachable
    store raises. The write only creates: of many nodes that start in the same second, one is the author.
    """
    if ledger.head() is not None or inboxes.list().entry(keys.CONFIG) is not None:
        return False
    try:
        store.write(keys.CONFIG, render(), ports.IfAbsent())
    except Conflict:
        return False
    return True
