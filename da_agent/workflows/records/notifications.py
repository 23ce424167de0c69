"""Notifies nodes, so that they need not wait for their next poll."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta

from da_agent import ports
from da_agent.domain.node.notifications import Key, destination
from da_agent.domain.node.reports import SILENT
from da_agent.domain.release.releases import Release
from da_agent.errors import AgentError
from da_agent.workflows.records.reports import Reports
from da_agent.workflows.records.rollouts import Rollouts

LONGEST_LOOK = timedelta(seconds=2)
"""How long the nodes' reports are read at most. In a very large cluster the remaining nodes poll."""


@dataclass(frozen=True, slots=True)
class Recipients:
    """The nodes that can be notified: the IP address and port of each, and the key. Without a key none can be."""

    destinations: Mapping[str, tuple[str, int]]
    key: Key | None


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
        key: Callable[[], Key | None],
        clock: ports.Clock,
    ) -> None:
        """`key` returns the current one of the cluster; it may raise any AgentError."""
        self._store = store
        self._reports = reports
        self._notifier = notifier
        self._key = key
        self._clock = clock

    def alive(self) -> Recipients:
        """Every node that has lately reported where it can be notified."""
        return self._recipients(None)

    def wake(self, nodes: Recipients) -> frozenset[str]:
        """Notify all of `nodes` at once; returns the names of those that could not be reached."""
        if nodes.key is None or not nodes.destinations:
            return frozenset(nodes.destinations)
        return self._notifier.notify(nodes.destinations, nodes.key)

    def notify(self, names: Collection[str]) -> frozenset[str]:
        """Notify the nodes in `names`; returns those that could not be reached, or that only poll."""
        chosen = self._recipients(names)
        return self.wake(chosen) | (frozenset(names) - chosen.destinations.keys())

    def _recipients(self, names: Collection[str] | None) -> Recipients:
        destinations: dict[str, tuple[str, int]] = {}
        try:
            key = self._key()
            if key is not None:
                self._read(destinations, key, names)
        except AgentError:
            return Recipients({}, None)
        return Recipients(destinations, key)

    def _read(self, destinations: dict[str, tuple[str, int]], key: Key, names: Collection[str] | None) -> None:
        """Add the destinations of `names`, or of all nodes. With `names`, a rollout need not read every report for each
        node. What no holder of the key has written is left out.
        """
        now, ends = self._store.clock(), self._clock.now() + LONGEST_LOOK
        for each in self._reports.node_statuses(names):
            if each.report.contact is not None and not each.silent(now, SILENT):
                there = destination(each.report.node, each.report.contact, key)
                if there is not None:
                    destinations[each.report.node] = there
            if self._clock.now() >= ends:
                return
