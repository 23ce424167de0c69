"""The shape of what a machine keeps on its own disk about a store that it has used."""

from typing import Literal

from da_agent.domain.node.used_stores import Used
from da_agent.domain.records.shapes import Fields, Key, Number, Shape


class UsedStoreShape(Fields, frozen=True):
    """`identity` is the endpoint and bucket, or the file system and path; `release` was the newest release then."""

    format: Literal[1]
    url: Key
    identity: Key
    release: Number


def to_wire(used: Used) -> UsedStoreShape:
    return UsedStoreShape(format=1, url=used.url, identity=used.identity, release=used.release)


def from_wire(shape: UsedStoreShape) -> Used:
    return Used(url=shape.url, identity=shape.identity, release=shape.release)


USED_STORE = Shape("used store", Used, UsedStoreShape, to_wire, from_wire)
