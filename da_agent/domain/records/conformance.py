"""The shape of the result of the store's conformance test, as a node keeps it on its disk."""

from typing import Literal

from da_agent.domain.records.shapes import Fields, Key, Name, Shape, Text
from da_agent.domain.store.conformance import Conformance, StoreCheck


class CheckShape(Fields, frozen=True):
    """`detail` is empty, or says what happened instead."""

    name: Name
    ok: bool
    detail: Text


class ConformanceShape(Fields, frozen=True):
    """`format` also grows when the checks change: then a store is tested again."""

    format: Literal[1]
    store: Key
    checks: list[CheckShape]


def to_wire(conformance: Conformance) -> ConformanceShape:
    checks = [CheckShape(name=check.name, ok=check.ok, detail=check.detail) for check in conformance.tried]
    return ConformanceShape(format=1, store=conformance.store, checks=checks)


def from_wire(shape: ConformanceShape) -> Conformance:
    checks = tuple(StoreCheck(name=check.name, ok=check.ok, detail=check.detail) for check in shape.checks)
    return Conformance(store=shape.store, tried=checks)


CONFORMANCE = Shape("store conformance", Conformance, ConformanceShape, to_wire, from_wire)
