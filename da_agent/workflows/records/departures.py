"""Nodes that leave the cluster: by their own sign-off, or because an admin removes what is left of them."""

from contextlib import suppress

from da_agent import ports
from da_agent.domain import records
from da_agent.domain.node.reports import Report
from da_agent.domain.rollout import slots
from da_agent.domain.store import keys
from da_agent.errors import Corrupt, Invalid, NotFound
from da_agent.workflows.records import reports
from da_agent.workflows.records.ledgers import Ledger
from da_agent.workflows.records.rollouts import Rollouts


def sign_off(store: ports.Store, rollouts: Rollouts, node: str) -> None:
    """The node says that it has left: it counts no more, and holds no turn. Nothing happens when it never reported.

    May be cut anywhere, and repeated: the node counts until the last step, the removal of its report.
    """
    key = keys.node_key(node)
    try:
        report = records.unseal(Report, store.read(key).data, key)
    except NotFound:
        return
    _free_turn(store, rollouts, node)
    reports.sign_off(store, report)


def forget(store: ports.Store, rollouts: Rollouts, node: str) -> None:
    """Remove the report of a node that does not report any more, and its turn.

    Invalid while the node is alive. Absent, with the names there are, for one that is not known. The report goes last:
    whoever was cut before that repeats the command.
    """
    known = {keys.node_of(entry.key) for entry in reports.last(store)}
    if node not in known:
        names = ", ".join(sorted(known)) or "none"
        raise NotFound(f"cannot forget node {node}: {store.name} does not know it; the nodes are {names}")
    if node in rollouts.nodes().lately:
        raise Invalid(
            f"cannot forget node {node}: it is alive, and reports. Stop it first: then it signs off by itself"
        )
    _free_turn(store, rollouts, node)
    store.delete(keys.left_key(node))
    store.delete(keys.node_key(node))


def _free_turn(store: ports.Store, rollouts: Rollouts, node: str) -> None:
    """A node that serves no visitor takes no capacity for the rollout: the others need not wait for the turn's end.

    A turn in a record that cannot be read counts for nothing; one in a record that is closed meanwhile is carried over,
    and ends by itself.
    """
    head = Ledger(store).head()
    if head is not None:
        with suppress(NotFound, Corrupt):
            rollouts.change(head, lambda record, _, now: slots.give_back(record, node, now=now))
