"""The shape of a lease: which process publishes the inbox, leads the inbox, or collects garbage in the store."""

from typing import Literal

from da_agent.domain.records.shapes import Fields, Name, Shape, Text, Time
from da_agent.domain.store.leases import Lease


class LeaseShape(Fields, frozen=True):
    format: Literal[1]
    holder: Text
    since: Time
    until: Time
    nonce: Name


def to_wire(lease: Lease) -> LeaseShape:
    return LeaseShape(format=1, holder=lease.holder, since=lease.since, until=lease.until, nonce=lease.nonce)


def from_wire(shape: LeaseShape) -> Lease:
    return Lease(holder=shape.holder, since=shape.since, until=shape.until, nonce=shape.nonce)


LEASE = Shape("lease", Lease, LeaseShape, to_wire, from_wire)
