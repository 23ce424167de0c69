"""Nodes that leave the cluster: by their own sign-off, or because an admin removes what is left of them."""

from contextlib import suppress

from da_agent import ports
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

    def sign_off(self, node: str) -> None:
        """The node has left: it counts no more, and holds no slot. Nothing happens when it never reported.

        May be cut anywhere, and repeated: the node counts until the last step, the removal of its report.
        """
        try:
            report = self._ledger.reader.report(keys.node_key(node)).value
        except NotFound:
            return
        self._free_slot(node)
        reports.sign_off(self._store, report)

    def forget(self, node: str) -> None:
        """Remove the report of a node that does not report any more, and its slot.

        Invalid while the node is alive. NotFound, with the names there are, for one that is not known. The report goes
        last: a command that was cut before that is repeated.
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
        """A node that serves no request takes no capacity: the others need not wait until its slot ends.

        A slot in a record that cannot be read counts for nothing; one in a record that is closed meanwhile is carried
        over, and ends by itself.
        """
        head = self._ledger.head()
        if head is not None:
            with suppress(NotFound, Corrupt):
                self._rollouts.change(head, lambda record, _, now: slots.give_back(record, node, now=now))
