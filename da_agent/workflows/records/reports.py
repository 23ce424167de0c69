"""The reports of the nodes in the store."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from da_agent import ports
from da_agent.domain import records
from da_agent.domain.node.reports import NodeStatus, Phase, Report
from da_agent.domain.node.twins import Name
from da_agent.domain.store import keys
from da_agent.domain.store.inboxes import Entry
from da_agent.errors import Conflict, Corrupt, NotFound, OutcomeUnknown, Unreachable
from da_agent.workflows.records.readers import Reader

ATTEMPTS = 5
"""How often a report is written again when another process of the same node wins."""

TELL_TWIN = timedelta(seconds=30)
"""How often a machine whose name belongs to another one reports that it exists."""


def send(store: ports.Store, report: Report) -> None:
    """Replace this node's own report; no other node writes it."""
    store.write(keys.node_key(report.node), records.seal(report), ports.Always())


class Reporter:
    """Writes this machine's report as long as the machine has the name of the node: see domain.twins."""

    def __init__(self, store: ports.Store, reader: Reader) -> None:
        self._store = store
        self._reader = reader
        self._name = Name()
        self._told_at: datetime | None = None

    def excluded(self, report: Report) -> str | None:
        """Why this machine takes no part in rollouts, as far as is known; None when it may."""
        return self._name.excluded(report)

    def send(self, report: Report) -> None:
        """Replace the report of this node. The report of another machine with this name stays, and `excluded` then says
        so.

        Unreachable when other processes win ATTEMPTS times.
        """
        for _ in range(ATTEMPTS):
            name = self._name
            if name.tag is None:
                name = self._name = self._look(report)
            if name.rival is not None:
                self._tell_twin(report)
                return
            if self._write(report, name):
                return
        raise Unreachable(
            f"cannot report as {report.node}: other processes keep changing the report in {self._store.name}"
        )

    def _look(self, report: Report) -> Name:
        key = keys.node_key(report.node)
        try:
            found = self._reader.report(key)
        except NotFound:
            return self._name.missing()
        except Corrupt:
            # A damaged report does not tell which machine wrote it: it is replaced.
            return self._name.sent(self._reader.tag(key))
        there = NodeStatus(found.value, found.modified_at)
        return self._name.found(report, there, found.tag, now=self._store.clock())

    def _write(self, report: Report, name: Name) -> bool:
        """True when the report is written. It replaces only a known version: this is the commit point of taking over a
        name.
        """
        when = ports.IfTag(name.tag) if name.tag else ports.IfAbsent()
        try:
            tag = self._store.write(keys.node_key(report.node), records.seal(report), when)
        except (Conflict, NotFound, OutcomeUnknown):
            self._name = self._name.doubted()
            return False
        if self._told_at is not None:
            self._store.delete(keys.twin_key(report.node))
            self._told_at = None
        self._name = self._name.sent(tag)
        return True

    def _tell_twin(self, report: Report) -> None:
        """Report this machine as a twin, where `status` finds it. The next report checks the other machine's report
        again.
        """
        name, now = self._name, self._store.clock()
        self._name = name.doubted()
        if name.renewed and (self._told_at is None or now - self._told_at >= TELL_TWIN):
            self._store.write(keys.twin_key(report.node), records.seal(report), ports.Always())
            self._told_at = now


def sign_off(store: ports.Store, report: Report) -> None:
    """The node of this report no longer counts; `known` still yields it. May be repeated.

    The removal comes last: until then the node counts, and a reader finds at least one of the two reports.
    """
    left = replace(report, phase=Phase.LEFT, problem=None, waiting=None, activity=None)
    store.write(keys.left_key(report.node), records.seal(left), ports.Always())
    store.delete(keys.node_key(report.node))


class Reports:
    """Every node's last report."""

    def __init__(self, store: ports.Store, reader: Reader) -> None:
        self._store = store
        self._reader = reader

    def node_statuses(self, names: Collection[str] | None = None) -> Iterator[NodeStatus]:
        """The last report of every node, or of `names`, with the time when the store received it.

        A damaged or vanished report is left out.
        """
        found = (entry.key for entry in self._store.scan(keys.NODES)) if names is None else map(keys.node_key, names)
        for key in found:
            seen = self._node_status(key)
            if seen is not None:
                yield seen

    def known(self, tell: Callable[[str], object] = lambda _: None) -> Iterator[NodeStatus]:
        """As `node_statuses`, and the nodes that have signed off. Their phase is `left`; they count in no rollout.

        `tell` gets a sentence for each damaged report.
        """
        found = (self._node_status(entry.key, tell) for entry in self.last())
        yield from (seen for seen in found if seen is not None)

    def last(self) -> Iterator[Entry]:
        """The entry of each node's last report, also of nodes that have signed off and have not come back."""
        there = set()
        for entry in self._store.scan(keys.NODES):
            there.add(keys.node_of(entry.key))
            yield entry
        yield from (entry for entry in self._store.scan(keys.LEFT) if keys.node_of(entry.key) not in there)

    def twins(self, tell: Callable[[str], object] = lambda _: None) -> Iterator[NodeStatus]:
        """The last report of each machine whose name another machine has or had. `tell` as in `known`."""
        found = (self._node_status(entry.key, tell) for entry in self._store.scan(keys.TWINS))
        yield from (seen for seen in found if seen is not None)

    def watch(self) -> "Watch":
        """A `Watch`, for repeated reads."""
        return Watch(self._store, self._node_status)

    def _node_status(self, key: str, tell: Callable[[str], object] = lambda _: None) -> NodeStatus | None:
        try:
            found = self._reader.report(key)
        except NotFound:
            return None
        except Corrupt as error:
            tell(str(error))
            return None
        return NodeStatus(found.value, found.modified_at)


class Watch:
    """Every node's last report, read repeatedly: one listing per look, and only changed reports are read."""

    def __init__(self, store: ports.Store, read: Callable[[str], NodeStatus | None]) -> None:
        self._store = store
        self._read = read
        self._seen: dict[str, tuple[tuple[str, datetime], NodeStatus]] = {}

    def look(self) -> tuple[NodeStatus, ...]:
        """As `Reports.node_statuses`. An unchanged report that was written again has the new time of the store."""
        found = {}
        for entry in self._store.scan(keys.NODES):
            version = (entry.tag, entry.modified_at)
            known = self._seen.get(entry.key)
            if known is None or known[0] != version:
                seen = self._read(entry.key)
                if seen is None:
                    continue
                known = (version, seen)
            found[entry.key] = known
        self._seen = found
        return tuple(seen for _, seen in found.values())
