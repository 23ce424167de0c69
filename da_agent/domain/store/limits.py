"""How many bytes of the store are held in memory at once, and why so many."""

from collections.abc import Iterable

from da_agent.errors import Corrupt

MIB = 1024 * 1024

WRITTEN = 8 * MIB
"""A configuration, a certificate, a list of requirements. A configuration may have 100,000 values (documents): with 80
bytes each they fill this. docassemble's own has some 10 KiB, a chain of certificates less."""

CERTIFICATE = MIB
"""A file of a folder that is said to hold certificates. A larger one is none: the wrong folder is named."""

RECORD = 16 * MIB
"""A manifest, a rollout, a report, a verdict, a lease. The largest are a rollout of 5,000 nodes and a verdict on 10,000
files: about 3 MiB each."""


def joined(chunks: Iterable[bytes], key: str, store: str) -> bytes:
    """The whole of a small object; Corrupt, after one chunk too many, when it is larger than a record may be."""
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > RECORD:
            raise Corrupt(f"cannot read {key} in {store}: it has more than {RECORD} bytes, which no record has")
    return bytes(body)
