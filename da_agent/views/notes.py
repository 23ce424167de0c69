"""Notes: by which node or admin, when and why."""

from datetime import datetime

from msgspec import Struct

from da_agent.domain.rollout.rollouts import Note


class NoteView(Struct, frozen=True, kw_only=True):
    by: str
    at: datetime
    reason: str


def of(note: Note) -> NoteView:
    return NoteView(by=note.by, at=note.at, reason=note.reason)


def maybe(note: Note | None) -> NoteView | None:
    return None if note is None else of(note)
