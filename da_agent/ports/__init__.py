"""Interfaces to the outside world: protocols over domain values, sorted by subject.

Errors named here are those of `da_agent.errors`. Unless a method says otherwise, it is safe to repeat.
After an error, nothing that the method promises to change has changed, unless it says otherwise.
"""

from da_agent.ports.node import (
    CertificateFolders,
    Clock,
    Environments,
    Installation,
    Lock,
    NodeStates,
    Resolver,
)
from da_agent.ports.people import Board, Progress
from da_agent.ports.services import (
    Commands,
    Ended,
    Notifier,
    Reply,
    RereadCertificates,
    Supervisor,
    Traffic,
    WebService,
    Workers,
)
from da_agent.ports.store import (
    Always,
    Blobs,
    Condition,
    Conformances,
    Deadline,
    IfAbsent,
    IfTag,
    Race,
    Repeat,
    Sink,
    Snapshot,
    Snapshots,
    Store,
    Stored,
    Transfers,
    UsedStores,
)

__all__ = [
    "Always",
    "Blobs",
    "Board",
    "CertificateFolders",
    "Clock",
    "Commands",
    "Condition",
    "Conformances",
    "Deadline",
    "Ended",
    "Environments",
    "IfAbsent",
    "IfTag",
    "Installation",
    "Lock",
    "NodeStates",
    "Notifier",
    "Progress",
    "Race",
    "Repeat",
    "Reply",
    "RereadCertificates",
    "Resolver",
    "Sink",
    "Snapshot",
    "Snapshots",
    "Store",
    "Stored",
    "Supervisor",
    "Traffic",
    "Transfers",
    "UsedStores",
    "WebService",
    "Workers",
]
