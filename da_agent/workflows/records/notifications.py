"""Notifies nodes, so that they need not wait for their next poll."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta

from da_agent import ports
from da_agent.domain.node.reports import SILENT
from da_agent.domain.node.rpc_ports import Credentials
from da_agent.domain.release.releases import Release
from da_agent.errors import AgentError
from da_agent.workflows.records.reports import Reports
from da_agent.workflows.records.rollouts import Rollouts

LONGEST_LOOK = timedelta(seconds=2)
"""How long the nodes' reports are read at most. In a very large cluster the remaining nodes poll."""


@dataclass(frozen=True, slots=True)
class Recipients:
    """The nodes that can be notified: the address of each, and the credentials. Without credentials none can be
    notified.
    """

    addresses: Mapping[str, str]
    credentials: Credentials | None


def announce(release: Release, rollouts: Rollouts, notifications: "Notifications", nodes: Recipients) -> None:
    """Announce a release that was just appended. Its record is opened first, or every notified node would try to open
    it.
    """
    try:
        rollouts.announce(release)
    finally:
        notifications.wake(nodes)


class Notifications:
    """Best effort: a failure here costs a node one poll interval. Nothing raises an AgentError."""

    def __init__(
        self,
        store: ports.Store,
        reports: Reports,
        notifier: ports.Notifier,
        credentials: Callable[[], Credentials | None],
        clock: ports.Clock,
    ) -> None:
        """`credentials` returns the current ones of the cluster; it may raise any AgentError."""
        self._store = store
        self._reports = reports
        self._notifier = notifier
        self._credentials = credentials
        self._clock = clock

    def alive(self) -> Recipients:
        """Every node that has lately reported an address for notifications."""
        return self._recipients(None)

    def wake(self, nodes: Recipients) -> frozenset[str]:
        """Notify all of `nodes` at once; returns the names of those that could not be reached."""
        if nodes.credentials is None or not nodes.addresses:
            return frozenset(nodes.addresses)
        return self._notifier.notify(nodes.addresses, nodes.credentials)

    def notify(self, names: Collection[str]) -> frozenset[str]:
        """Notify the nodes in `names`; returns those that could not be reached, or that only poll."""
        chosen = self._recipients(names)
        return self.wake(chosen) | (frozenset(names) - chosen.addresses.keys())

    def _recipients(self, names: Collection[str] | None) -> Recipients:
        addresses: dict[str, str] = {}
        try:
            credentials = self._credentials()
            if credentials is not None:
                self._read(addresses, names)
        except AgentError:
            return Recipients({}, None)
        return Recipients(addresses, credentials)

    def _read(self, addresses: dict[str, str], names: Collection[str] | None) -> None:
        """Add the addresses of `names`, or of all nodes. With `names`, a rollout need not read every report for each
        node.
        """
        now, ends = self._store.clock(), self._clock.now() + LONGEST_LOOK
        for each in self._reports.node_statuses(names):
            if each.report.rpc is not None and not each.silent(now, SILENT):
                addresses[each.report.node] = each.report.rpc
            if self._clock.now() >= ends:
                return
