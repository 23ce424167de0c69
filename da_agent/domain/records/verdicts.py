"""The shape of the verdict on an inbox."""

from typing import Literal

from msgspec import Struct

from da_agent.domain.records.shapes import Count, Number, Shape, Time
from da_agent.domain.store.blobs import Blob
from da_agent.domain.store.inboxes import Seen, Verdict


class SeenShape(Struct, frozen=True):
    """The bytes that an object of the inbox had under a tag."""

    key: str
    tag: str
    sha256: str
    size: Count


class VerdictShape(Struct, frozen=True):
    """`release` is the release that the inbox became; `mistakes` is why it became none."""

    format: Literal[1]
    fingerprint: str
    release: Number | None
    mistakes: list[str]
    by: str
    at: Time
    seen: list[SeenShape]


def to_wire(verdict: Verdict) -> VerdictShape:
    return VerdictShape(
        format=1,
        fingerprint=verdict.fingerprint,
        release=verdict.release,
        mistakes=list(verdict.mistakes),
        by=verdict.by,
        at=verdict.at,
        seen=[SeenShape(seen.key, seen.tag, seen.blob.sha256, seen.blob.size) for seen in verdict.seen],
    )


def from_wire(shape: VerdictShape) -> Verdict:
    return Verdict(
        fingerprint=shape.fingerprint,
        release=shape.release,
        mistakes=tuple(shape.mistakes),
        seen=tuple(Seen(seen.key, seen.tag, Blob(seen.sha256, seen.size)) for seen in shape.seen),
        by=shape.by,
        at=shape.at,
    )


VERDICT = Shape("verdict", Verdict, VerdictShape, to_wire, from_wire)
