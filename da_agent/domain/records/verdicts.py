"""The shape of the verdict on an inbox."""

from typing import Literal

from da_agent.domain.records.blobs import Sha256
from da_agent.domain.records.shapes import Count, Fields, Key, Name, Number, Shape, Text, Time
from da_agent.domain.store.blobs import Blob
from da_agent.domain.store.inboxes import Seen, Verdict


class SeenShape(Fields, frozen=True):
    """The bytes that an object of the inbox had under a tag."""

    key: Key
    tag: Key
    sha256: Sha256
    size: Count


class VerdictShape(Fields, frozen=True):
    """`release` is the release that the inbox became; `mistakes` is why it became none."""

    format: Literal[1]
    fingerprint: Name
    release: Number | None
    mistakes: list[Text]
    by: Text
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
    if shape.release is None and not shape.mistakes:
        raise ValueError("neither `release` nor `mistakes` is given")
    return Verdict(
        fingerprint=shape.fingerprint,
        release=shape.release,
        mistakes=tuple(shape.mistakes),
        seen=tuple(Seen(seen.key, seen.tag, Blob(seen.sha256, seen.size)) for seen in shape.seen),
        by=shape.by,
        at=shape.at,
    )


VERDICT = Shape("verdict", Verdict, VerdictShape, to_wire, from_wire)
