"""Examining a store at first contact: a store that ignores conditions would silently corrupt a cluster."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

from da_agent import ports
from da_agent.domain import texts
from da_agent.domain.store import keys
from da_agent.domain.store.conformance import Conformance, StoreCheck
from da_agent.errors import AgentError, Conflict, NotFound, OutcomeUnknown, StoreUnfit
from da_agent.ports import Always, IfAbsent, IfTag

RACERS = 8
ROUNDS = 3
"""Stores that check first and then write let two racers win only now and then, so each race is repeated."""

_WRONG = '"00000000000000000000000000000000"'
_BODY = bytes(range(256)) * 300
"""Every byte value, and enough bytes to be sent in several parts: some stores keep checksums as content."""


def examine(store: ports.Store, race: ports.Race, nonce: str) -> Conformance:
    """Test every promise on scratch objects that are named with `nonce`, and remove them.

    Unreachable and Forbidden end the examination without a result.
    """
    return Conformance(store.identity, tuple(_Examination(store, race, nonce).run()))


def require_fit(store: ports.Store, race: ports.Race, conformances: ports.Conformances, nonce: str) -> None:
    """StoreUnfit, with one sentence, unless the store was found fit before or is found fit now.

    A store that failed is examined each time: its owner may have repaired it. What this machine knows without a request
    is always asked: the same folder may be mounted in another way than before.
    """
    known = conformances.load(store.identity)
    if known and known.fit and store.obstacle() is None:
        return
    conformance = examine(store, race, nonce)
    conformances.save(conformance)
    if not conformance.fit:
        raise StoreUnfit(conformance.verdict)


class _Broken(Exception):
    """A promise was not kept; the message says what happened instead."""


class _Examination:
    def __init__(self, store: ports.Store, race: ports.Race, nonce: str) -> None:
        self._store = store
        self._race = race
        self._folder = f"{keys.CONFORMANCE}{nonce}-"
        self._used: set[str] = set()

    def run(self) -> Iterator[StoreCheck]:
        # The verdict names the first check that fails. The most harmful failures come first, but each check comes after
        # those that it builds on.
        checks: dict[str, Callable[[], None]] = {
            "its locks keep out other machines": self._share,
            "what was written is read back": self._read_after_write,
            "an object is created once": self._create_twice,
            "an object is replaced by a writer that has its tag": self._replace,
            "an object is not replaced with a wrong tag": self._replace_with_wrong_tag,
            "an object is not replaced with an old tag": self._replace_with_old_tag,
            "what was deleted is gone": self._delete,
            "an object that is gone is not replaced": self._replace_nothing,
            f"when {RACERS} writers create an object at once, one succeeds": self._race_to_create,
            f"when {RACERS} writers replace an object at once, one succeeds": self._race_to_replace,
            "what was written is listed": self._list_after_write,
        }
        try:
            for name, check in checks.items():
                detail = texts.mistake(_complaint(check))
                yield StoreCheck(name, not detail, detail)
        finally:
            for key in sorted(self._used):
                with suppress(AgentError):
                    self._store.delete(key)

    def _share(self) -> None:
        obstacle = self._store.obstacle()
        if obstacle is not None:
            raise _Broken(obstacle)

    # ---- plain reading and writing

    def _read_after_write(self) -> None:
        key = self._key("read")
        for body in (_BODY, b"second"):
            tag = self._write(key, body, Always())
            with _expected("it does not have an object that was just written"):
                stored = self._store.read(key)
            if stored.data != body:
                raise _Broken("it gives back other bytes than were written")
            if stored.tag != tag:
                raise _Broken("it gives an object another tag when it is read than when it was written")

    def _list_after_write(self) -> None:
        key = self._key("list")
        tag = self._write(key, _BODY, Always())
        entries = [entry for entry in self._store.scan(self._folder) if entry.key == key]
        if len(entries) != 1:
            raise _Broken("it does not list an object that was just written")
        if (entries[0].tag, entries[0].size) != (tag, len(_BODY)):
            raise _Broken("it lists an object with another tag or size than it was written with")

    def _delete(self) -> None:
        key = self._key("delete")
        self._write(key, b"first", Always())
        self._store.delete(key)
        with suppress(NotFound):
            self._store.read(key)
            raise _Broken("it still has an object that was just deleted")

    # ---- conditions

    def _create_twice(self) -> None:
        key = self._key("create")
        self._write(key, b"first", IfAbsent())
        self._refuse(key, IfAbsent(), "it lets two writers create the same object")

    def _replace(self) -> None:
        key = self._key("replace")
        tag = self._write(key, b"first", Always())
        second = self._write(key, b"second", IfTag(tag))
        with _expected("it does not have an object that was just replaced"):
            stored = self._store.read(key)
        if (stored.data, stored.tag) != (b"second", second) or second == tag:
            raise _Broken("it does not replace an object whose tag is right")

    def _replace_with_wrong_tag(self) -> None:
        key = self._key("wrong")
        self._write(key, b"first", Always())
        self._refuse(key, IfTag(_WRONG), "it replaces an object although the tag is wrong")

    def _replace_with_old_tag(self) -> None:
        key = self._key("old")
        tag = self._write(key, b"zeroth", Always())
        self._write(key, b"first", Always())
        self._refuse(key, IfTag(tag), "it replaces an object although the tag is an old one")

    def _replace_nothing(self) -> None:
        key = self._key("gone")
        tag = self._write(key, b"first", Always())
        self._store.delete(key)
        with suppress(Conflict, NotFound):
            self._store.write(key, b"second", IfTag(tag))
            raise _Broken("it replaces an object that is gone")

    def _refuse(self, key: str, when: ports.Condition, complaint: str) -> None:
        """The object has the body "first" and must keep it."""
        with suppress(Conflict):
            self._store.write(key, b"second", when)
            raise _Broken(complaint)
        with _expected(complaint):
            data = self._store.read(key).data
        if data != b"first":
            raise _Broken(f"{complaint}, but answers that it did not")

    # ---- races

    def _race_to_create(self) -> None:
        for number in range(ROUNDS):
            self._compete(self._key(f"race-{number}"), IfAbsent(), "create the same object")

    def _race_to_replace(self) -> None:
        key = self._key("swap")
        tag = self._write(key, b"first", Always())
        for _ in range(ROUNDS):
            tag = self._compete(key, IfTag(tag), "replace the same object")

    def _compete(self, key: str, when: ports.Condition, act: str) -> str:
        # No body may equal that of an earlier round: equal bodies have equal tags, and a stale swap would be correct.
        before = when.tag if isinstance(when, IfTag) else "nothing"
        bodies = [f"racer {number} of {key} after {before}".encode() for number in range(RACERS)]
        results = self._race([partial(self._store.write, key, body, when) for body in bodies])
        for result in results:
            # Under contention some stores fail instead of answering: the object left afterwards shows which racer won.
            if isinstance(result, AgentError) and not isinstance(result, Conflict | NotFound | OutcomeUnknown):
                raise result
        with _expected("it has no object after several writers wrote it at once"):
            stored = self._store.read(key)
        winners = [body for body, result in zip(bodies, results, strict=True) if isinstance(result, str)]
        if len(winners) > 1:
            raise _Broken(f"it lets {len(winners)} of {RACERS} writers {act} at once")
        doubtful = [body for body, result in zip(bodies, results, strict=True) if isinstance(result, OutcomeUnknown)]
        if stored.data not in (winners or doubtful):
            raise _Broken(f"when {RACERS} writers {act} at once, it reports success to the wrong one")
        return stored.tag

    # ---- shared

    def _key(self, name: str) -> str:
        key = f"{self._folder}{name}"
        self._used.add(key)
        return key

    def _write(self, key: str, body: bytes, when: ports.Condition) -> str:
        with _expected("it refuses a write whose condition holds"):
            return self._store.write(key, body, when)


@contextmanager
def _expected(complaint: str) -> Iterator[None]:
    """Conflict and NotFound break a promise here: no other process knows the scratch objects."""
    try:
        yield
    except (Conflict, NotFound) as error:
        raise _Broken(complaint) from error


def _complaint(check: Callable[[], None]) -> str:
    try:
        check()
    except (_Broken, StoreUnfit) as broken:
        return str(broken)
    except (Conflict, NotFound) as error:
        return f"it gives an unexpected answer: {error}"
    return ""
