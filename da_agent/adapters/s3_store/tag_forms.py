"""How a store wants a tag in If-Match: as in its ETag, with quotes (RFC 9110), or without, as Ceph's radosgw does."""

import secrets
import threading
from collections.abc import Callable
from contextlib import suppress

from da_agent.adapters.s3_store.answers import ConcurrentWrite
from da_agent.domain.store import keys
from da_agent.errors import AgentError, Conflict

Put = Callable[[str, bytes, str | None], str]
"""Writes a body over the object with the If-Match, or a new object for None; returns its tag. Conflict when the
condition fails."""

_WRONG = "0" * 32


class TagForm:
    """Quoted, until a trial on a scratch object shows that the store wants bare tags. It is made when the first
    condition of this process is refused, and not again once it has a result."""

    def __init__(self, put: Put, delete: Callable[[str], object]) -> None:
        self._put = put
        self._delete = delete
        self._bare: bool | None = None
        self._trying = threading.Lock()

    def of(self, tag: str) -> str:
        return _bare(tag) if self._bare else tag

    def worked(self, sent: str) -> None:
        """A write with the If-Match `sent` was taken: a store that takes quotes is not tried."""
        if self._bare is None and sent != _bare(sent):
            self._bare = False

    def was_wrong(self, sent: str) -> bool:
        """Whether a write with the If-Match `sent` was refused for its quotes alone: then it is worth another try.

        Without an answer of the store this says no, and the next refused write asks again.
        """
        if sent == _bare(sent):
            return False
        with self._trying:
            if self._bare is None:
                with suppress(AgentError, ConcurrentWrite):
                    self._bare = self._wants_bare()
            return self._bare is True

    def _wants_bare(self) -> bool:
        """True when a right tag is refused with quotes and taken without, and a wrong one is refused without.

        No other process knows the object, so a refusal has no other cause.
        """
        key = f"{keys.CONFORMANCE}{secrets.token_hex(8)}-tag"
        try:
            tag = self._put(key, b"first", None)
            return (
                not self._takes(key, b"second", tag)
                and not self._takes(key, b"third", _WRONG)
                and self._takes(key, b"fourth", _bare(tag))
            )
        finally:
            with suppress(AgentError):
                self._delete(key)

    def _takes(self, key: str, body: bytes, sent: str) -> bool:
        try:
            self._put(key, body, sent)
        except Conflict:
            return False
        return True


def _bare(tag: str) -> str:
    return tag[1:-1] if len(tag) > 1 and tag[0] == tag[-1] == '"' else tag
