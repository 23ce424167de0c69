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
"""How much of a text is searched for secrets, in characters, before the rest is dropped. A longer command is masked as
a whole."""

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

OUTPUT = 256 * 1024
"""How much of the output of a program is kept, in bytes: its last part. A build that fails prints about 50 KiB."""

OUTPUT_LINE = 8 * 1024
"""How much of one line is kept for those that watch it, in bytes: uv and pip print shorter ones."""

UNREAD = 16 * MIB
"""How much of its output a program may have on the disk, in bytes, before that part is dropped."""

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

# ---- packages -------------------------------------------------------------------------------------------------

GIB = 1024 * MIB

OBJECTS = 10_000
"""The most objects in the inbox. The verdict lists each, which takes about 3 MiB (`RECORD`)."""

DISTRIBUTION = 4 * GIB
"""The largest wheel or source, in bytes: where the zip format needs its extension. The largest known have 3 GB."""

WHEELS = 5_000
"""The most wheels in a release: docassemble has 252. Its manifest then has about 2 MiB."""

LINES = 10_000
"""The most lines in requirements.txt: twice the wheels."""

LINE = 2_000
"""The longest line in requirements.txt, in characters: some expressions take time with the square of it."""

MEMBERS = 100_000
"""The most files in a wheel or source. The largest known wheels have about 40,000; all of docassemble has 26,500."""

MEMBER_NAME = 1_000
"""The longest path in a wheel or source, in characters. Linux allows 4,096 for the path with its folders."""

UNPACKED = 8 * GIB
"""The most bytes that a wheel or source may have when it is unpacked: twice its own limit."""

SWELLING = 100
"""How many times its own size an archive may have when it is unpacked: code has 3 to 5 times, tables up to 50."""

SWELLING_FREE = 64 * MIB
"""Bytes that an archive may unpack to, however small it is: a small file of spaces is harmless."""

METADATA = 4 * MIB
"""The largest METADATA, WHEEL or entry_points.txt, in bytes. A README of 1 MiB, the longest known, fits."""

RECORD_FILE = 32 * MIB
"""The largest RECORD in a wheel, in bytes: `MEMBERS` lines of 300 bytes."""

LOCK = 32 * MIB
"""The largest lock file, in bytes: 5,000 distributions with 60 files each. docassemble's has 1 MiB."""

MODULE = 16 * MIB
"""The largest module in a wheel, in bytes: compiling it takes about 100 times as much memory, and the agent compares
each module as a whole. The largest known have 5 MiB."""

READER_MEMORY = 512 * MIB
"""Memory of the process that reads archives, in bytes: `MEMBERS` take 100 MiB, and METADATA ten times its size."""

READER_SECONDS = 300
"""CPU time of the process that reads archives: `UNPACKED` bytes take about 60 s, on a slow machine 200 s."""

READER_OUTPUT = 64 * MIB
"""Bytes that the process may say about the archives it reads: `MEMBERS` of them take 10 MiB."""

# ---- requests -------------------------------------------------------------------------------------------------

REQUEST = 256 * MIB
"""The largest body of a request, in bytes, unless `maximum content length` says otherwise. The fronts keep a body on
disk until all of it has come."""

CONNECTIONS = 800
"""The most connections of a front that wait for a request, or for its answer. Each takes a thread of about 40 KB. A
client that opens 450 leaves room for others; one that is slower than the time-outs in common.conf.j2 loses them."""

SPARE_CONNECTIONS = 100
"""The connections of the application's Apache beyond those of both fronts: the agent always finds a free one."""

# ---- supervisord's port -----------------------------------------------------------------------------------------

WRONG_PASSWORDS = 5
"""How many wrong passwords a client may send to supervisord within WRONG_PASSWORDS_COUNT: a person mistypes less often.
7,200 a day find no password of eight random characters."""

WRONG_PASSWORDS_COUNT = timedelta(minutes=1)
"""How long a wrong password counts."""

GUESSING_CLIENTS = 200
"""Of how many clients wrong passwords are remembered. The port belongs in a network of the nodes alone."""
