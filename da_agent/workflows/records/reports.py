"""What the nodes say of themselves in the store."""

from collections.abc import Collection, Iterator
from datetime import datetime

from da_agent import ports
from da_agent.domain import records
from da_agent.domain.node.reports import NodeStatus, Report
from da_agent.domain.store import keys
from da_agent.errors import Corrupt, NotFound


def send(store: ports.Store, report: Report) -> None:
    """Replace this node's own record; no other node writes it."""
    store.write(keys.node_key(report.node), records.seal(report), ports.Always())


def every(store: ports.Store) -> Iterator[Report]:
    """Every node's last report; Corrupt, naming it, when one is damaged."""
    for entry in store.scan(keys.NODES):
        try:
            yield records.unseal(Report, store.read(entry.key).data, entry.key)
        except NotFound:
            continue


class Watch:
    """Every node's last report, looked at again and again: one listing a look, and only what is new is read."""

    def __init__(self, store: ports.Store) -> None:
        self._store = store
        self._seen: dict[str, tuple[tuple[str, datetime], NodeStatus]] = {}

    def look(self) -> tuple[NodeStatus, ...]:
        """As `sightings`. A report that says the same as before is as new as the store says."""
        found = {}
        for entry in self._store.scan(keys.NODES):
            version = (entry.tag, entry.modified_at)
            known = self._seen.get(entry.key)
            if known is None or known[0] != version:
                seen = _node_status(self._store, entry.key)
                if seen is None:
                    continue
                known = (version, seen)
            found[entry.key] = known
        self._seen = found
        return tuple(seen for _, seen in found.values())


def node_statuses(store: ports.Store, names: Collection[str] | None = None) -> Iterator[NodeStatus]:
    """Every node's last report, or those of `names`, and when the store received it. A damaged or vanished record is
    left out."""
    found = (entry.key for entry in store.scan(keys.NODES)) if names is None else map(keys.node_key, names)
    for key in found:
        seen = _node_status(store, key)
        if seen is not None:
            yield seen


def _node_status(store: ports.Store, key: str) -> NodeStatus | None:
    try:
        stored = store.read(key)
        return NodeStatus(records.unseal(Report, stored.data, key), stored.modified_at)
    except (NotFound, Corrupt):
        return None
