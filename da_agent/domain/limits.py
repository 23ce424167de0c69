"""Every limit on what comes from outside (the store, other programs, requests, other users), and its reason."""

from datetime import UTC, datetime, timedelta

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

CHAIN = 32
"""The most certificates that a server presents. TLS clients accept 100 KiB, and a search for a path takes a signature
check for each pair."""

RECORD = 16 * MIB
"""The largest manifest, rollout record, report, verdict or lease, in bytes.

The largest known are a rollout of 5,000 nodes and a verdict on 10,000 files, about 3 MiB each.
"""

NAME = 200
"""The longest name in a record, in characters. Files in a directory store, as `NODE.json`, have names of at most 255
bytes."""

TEXT = 1000
"""The longest text in a record, in characters. What we write is shorter: see REASON, LOG_LINE and MISTAKE."""

REASON = 200
"""The longest reason, in characters: a line that a person reads at night."""

LOG_LINE, LOG_LINES = 500, 20
"""The longest line of a log that is kept, in characters, and how many are: a traceback, and its message."""

LOGS = 10
"""How many failures in the record of a rollout keep their logs, 10 KB each: thousands of nodes may fail."""

MISTAKE, MISTAKES = 800, 100
"""The longest mistake in an inbox, in characters, and how many are kept: more are not read at once."""

LOOKED_AT = 8_000
"""How much of a text is searched for secrets, in characters, before the rest is dropped."""

KEY = 4096
"""The longest key or tag in a record, in characters: the longest path of Linux. Keys in S3 have 1,024 bytes at most."""

EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
"""The times that a record may have. A machine without a clock starts in 1970. Later times could not be added to."""

SLOT = timedelta(hours=4)
"""The longest slot: the longest `slot timeout`. A release command takes as long at most."""

LEASE = timedelta(hours=3)
"""The longest lease: that of the inbox leader with the longest `poll interval`, three times an hour."""

SHORT_LEASE = timedelta(minutes=3)
"""The longest lease of a publication or a removal: that of the gc lock."""

CLOCKS = timedelta(minutes=5)
"""How far two clocks may differ: that of a store, and what a process has made of it some minutes ago."""

FAR = 1_000_000
"""The longest gap in the numbers of releases. Ten digits would be used up by a single wrong file name otherwise. Only
`gc` makes gaps; it would take a release every minute for two years to make one of this length."""

DEPTH = 64
"""The deepest nesting in a configuration. Our reader and all later readers of the file recurse, and could overflow the
stack; docassemble's own configuration has 5 levels."""

VALUES = 100_000
"""The most values in a configuration, aliases expanded: a page of aliases could stand for billions. Big files have
a few thousand."""

DATAGRAM = 512
"""The longest notification, or answer to one, in bytes: it fits into one packet, and the longest has about 350."""

NOTIFICATION_AGE = timedelta(minutes=2)
"""How long a notification may be sent again, and how far the clocks of two nodes may differ for them to be heard."""

NOTIFICATIONS = 240
"""The most notifications that a node takes within twice NOTIFICATION_AGE: one a second. A rollout causes dozens."""

NOTIFICATION_KEY = 16
"""The fewest characters of a secret key that signs notifications: 64 bits when it is written in hex digits."""

WRONG_NOTIFICATION = timedelta(milliseconds=50)
"""How long a node takes no notifications after one with a wrong signature: twenty of them a second cost nothing."""

ANSWERS = timedelta(seconds=2)
"""How long the answers of all notified nodes may take: a node that is alive answers sooner."""

BYTECODE = 64 * MIB
"""The bytecode of one module, and a wheel's RECORD, in bytes. The largest known, tables of data, have 10 MiB."""
