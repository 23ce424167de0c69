"""What the nodes say of themselves in the store."""

from collections.abc import Collection, Iterator
from datetime import datetime

from da_agent import ports
from da_agent.domain import keys, records
from da_agent.domain.reports import Report, Sighting
from da_agent.errors import Absent, Tampered


def send(store: ports.Store, report: Report) -> None:
    """Replace this node's own record; no other node writes it."""
    store.write(keys.node_key(report.node), records.seal(report), ports.Always())


def every(store: ports.Store) -> Iterator[Report]:
    """Every node's last report; Tampered, naming it, when one is damaged."""
    for entry in store.scan(keys.NODES):
        try:
            yield records.unseal(Report, store.read(entry.key).data, entry.key)
        except Absent:
            continue


class Watch:
    """Every node's last report, looked at again and again: one listing a look, and only what is new is read."""

    def __init__(self, store: ports.Store) -> None:
        self._store = store
        self._seen: dict[str, tuple[tuple[str, datetime], Sighting]] = {}

    def look(self) -> tuple[Sighting, ...]:
        """As `sightings`. A report that says the same as before is as new as the store says."""
        found = {}
        for entry in self._store.scan(keys.NODES):
            version = (entry.tag, entry.modified_at)
            known = self._seen.get(entry.key)
            if known is None or known[0] != version:
                seen = _sighting(self._store, entry.key)
                if seen is None:
                    continue
                known = (version, seen)
            found[entry.key] = known
        self._seen = found
        return tuple(seen for _, seen in found.values())


def sightings(store: ports.Store, names: Collection[str] | None = None) -> Iterator[Sighting]:
    """Every node's last report, or those of `names`, and when the store received it. A damaged or vanished record is
    left out."""
    found = (entry.key for entry in store.scan(keys.NODES)) if names is None else map(keys.node_key, names)
    for key in found:
        seen = _sighting(store, key)
        if seen is not None:
            yield seen


def _sighting(store: ports.Store, key: str) -> Sighting | None:
    try:
        stored = store.read(key)
        return Sighting(records.unseal(Report, stored.data, key), stored.modified_at)
    except (Absent, Tampered):
        return None
