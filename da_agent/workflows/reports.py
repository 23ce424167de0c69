"""What the nodes say of themselves in the store."""

from collections.abc import Collection, Iterator

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


def sightings(store: ports.Store, names: Collection[str] | None = None) -> Iterator[Sighting]:
    """Every node's last report, or those of `names`, and when the store received it. A damaged or vanished record is
    left out."""
    found = (entry.key for entry in store.scan(keys.NODES)) if names is None else map(keys.node_key, names)
    for key in found:
        try:
            stored = store.read(key)
            yield Sighting(records.unseal(Report, stored.data, key), stored.modified_at)
        except (Absent, Tampered):
            continue
