"""Small objects of the store as bytes."""

from collections.abc import Iterable

from da_agent.domain import limits
from da_agent.errors import Corrupt


def joined(chunks: Iterable[bytes], key: str, store: str) -> bytes:
    """The bytes of a small object. Corrupt as soon as they exceed `limits.RECORD`."""
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > limits.RECORD:
            raise Corrupt(f"cannot read {key} in {store}: it has more than {limits.RECORD} bytes, which no record has")
    return bytes(body)
