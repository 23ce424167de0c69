"""What the nodes say of themselves in the store."""

from collections.abc import Iterator

from da_agent import ports
from da_agent.domain import keys, records
from da_agent.domain.reports import Report, Sighting
from da_agent.errors import Absent, Tampered


def send(store: ports.Store, report: Report) -> None:
    """Replace this node's own record; no other node writes it."""
    store.write(keys.node_key(report.node), records.encode(report), ports.Always())


def every(store: ports.Store) -> Iterator[Report]:
    """Every node's last report; Tampered, naming it, when one is damaged."""
    for entry in store.scan(keys.NODES):
        try:
            yield records.decode(Report, store.read(entry.key).data, entry.key)
        except Absent:
            continue


def sightings(store: ports.Store) -> Iterator[Sighting]:
    """Every node's last report, and when the store received it. A damaged or vanished record is left out."""
    for entry in store.scan(keys.NODES):
        try:
            stored = store.read(entry.key)
            yield Sighting(records.decode(Report, stored.data, entry.key), stored.modified_at)
        except (Absent, Tampered):
            continue
