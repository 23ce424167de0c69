"""The limits on bytes of the store that are held in memory at once, and their reasons."""

from collections.abc import Iterable

from da_agent.errors import Corrupt

MIB = 1024 * 1024

WRITTEN = 8 * MIB
"""The largest configuration, certificate or requirements file, in bytes.

A configuration may have 100,000 values (`documents.MAX_VALUES`), which at 80 bytes each reach this limit.
docassemble's own configuration has about 10 KiB, a certificate chain less.
"""

CERTIFICATE = MIB
"""The largest file in a certificate folder, in bytes. A larger file is no certificate: the folder is wrong."""

RECORD = 16 * MIB
"""The largest manifest, rollout record, report, verdict or lease, in bytes.

The largest known are a rollout of 5,000 nodes and a verdict on 10,000 files, about 3 MiB each.
"""


def joined(chunks: Iterable[bytes], key: str, store: str) -> bytes:
    """The bytes of a small object. Corrupt as soon as they exceed `RECORD`."""
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > RECORD:
            raise Corrupt(f"cannot read {key} in {store}: it has more than {RECORD} bytes, which no record has")
    return bytes(body)
