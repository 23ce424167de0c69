"""Nodes that leave the cluster: they sign off, or an admin removes what is left of them."""

from contextlib import suppress

from da_agent import ports
from da_agent.domain.node import twins
from da_agent.domain.rollout import slots
from da_agent.domain.store import keys
from da_agent.errors import Corrupt, Invalid, NotFound
from da_agent.workflows.records import reports
from da_agent.workflows.records.ledgers import Ledger
from da_agent.workflows.records.reports import Reports
from da_agent.workflows.records.rollouts import Rollouts


class Departures:
    """Signs nodes off, and forgets them."""

    def __init__(self, store: ports.Store, ledger: Ledger, rollouts: Rollouts, reports: Reports) -> None:
        self._store = store
        self._ledger = ledger
        self._rollouts = rollouts
        self._reports = reports

    def sign_off(self, node: str, identity: str) -> None:
        """The node has left: it no longer counts, and holds no slot. Does nothing when the node never reported.

        `identity` is that of the machine that leaves. When another machine has the name of the node, nothing is done:
        that machine still serves.
        May be interrupted anywhere, and repeated: the node counts until the last step, the removal of its report.
        """
        try:
            report = self._ledger.reader.report(keys.node_key(node)).value
        except (NotFound, Corrupt):
            return
        if not twins.is_same(identity, report.identity):
            return
        self._free_slot(node)
        reports.sign_off(self._store, report)

    def forget(self, node: str) -> None:
        """Remove the report of a node that no longer reports, and its slot.

        Invalid while the node is alive. NotFound, naming the known nodes, when the node is not known. The report goes
        last, so that an interrupted command can be repeated.
        """
        known = {keys.node_of(entry.key) for entry in self._reports.last()}
        if node not in known:
            names = ", ".join(sorted(known)) or "none"
            raise NotFound(f"cannot forget node {node}: {self._store.name} does not know it; the nodes are {names}")
        if node in self._rollouts.nodes().lately:
            raise Invalid(
                f"cannot forget node {node}: it is alive, and reports. Stop it first: then it signs off by itself"
            )
        self._free_slot(node)
        self._store.delete(keys.left_key(node))
        self._store.delete(keys.node_key(node))

    def _free_slot(self, node: str) -> None:
        """Give the node's slot back: a stopped node takes no capacity, so the others need not wait until its slot
        expires.

        A slot in an unreadable record does not count. A slot in a record that is closed meanwhile is carried over, and
        expires.
        """
        head = self._ledger.head()
        if head is not None:
            with suppress(NotFound, Corrupt):
                self._rollouts.change(head, lambda record, _, now: slots.give_back(record, node, now=now))
