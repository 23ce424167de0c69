"""Every limit on what comes from outside (the store, other programs, requests, other users), and its reason."""

MIB = 1024 * 1024

WRITTEN = 8 * MIB
"""The largest configuration, certificate or requirements file, in bytes.

A configuration may have 100,000 values (`VALUES`), which at 80 bytes each reach this limit.
docassemble's own configuration has about 10 KiB, a certificate chain less.
"""

CERTIFICATE = MIB
"""The largest file in a certificate folder, in bytes. A larger file is no certificate: the folder is wrong."""

CERTIFICATES = 1000
"""The most files in a certificate folder. A node has a handful, and all are held in memory: with more, the folder is
wrong."""

RECORD = 16 * MIB
"""The largest manifest, rollout record, report, verdict or lease, in bytes.

The largest known are a rollout of 5,000 nodes and a verdict on 10,000 files, about 3 MiB each.
"""

DEPTH = 64
"""The deepest nesting in a configuration. Our reader and all later readers of the file recurse, and could overflow the
stack; docassemble's own configuration has 5 levels."""

VALUES = 100_000
"""The most values in a configuration, aliases expanded: a page of aliases could stand for billions. Big files have
a few thousand."""
