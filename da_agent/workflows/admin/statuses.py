"""The status for an admin: this node, the releases, the inbox, the other nodes, and how old each fact is."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from da_agent import ports
from da_agent.domain.display import why
from da_agent.domain.node import twins
from da_agent.domain.node.node_states import NodeState
from da_agent.domain.node.reports import NodeStatus
from da_agent.domain.node.twins import Twins
from da_agent.domain.release.releases import Release
from da_agent.domain.rollout.rollouts import Rollout
from da_agent.domain.store.inboxes import Verdict
from da_agent.errors import AgentError, Corrupt, NotFound
from da_agent.workflows.records.inboxes import Inboxes
from da_agent.workflows.records.ledgers import Ledger
from da_agent.workflows.records.reports import Reports
from da_agent.workflows.records.rollouts import Rollouts


@dataclass(frozen=True, slots=True)
class Here:
    """This node, from its own disk. `heard` is when the store last answered this node."""

    node: str
    root: str
    release: int | None
    node_state: NodeState
    heard: datetime | None


@dataclass(frozen=True, slots=True)
class There:
    """The cluster as the store showed it at `at`, by the store's clock.

    `head` is the newest readable release. `pending`: the inbox has changed since `verdict` and is not published yet.
    `rollout` is the record of the newest release, and `live` are the nodes that count in it. `twins` are the names that
    two machines report under. `problems` has a sentence for each record that cannot be read.
    """

    at: datetime
    store: str
    head: Release | None
    verdict: Verdict | None
    pending: bool
    nodes: tuple[NodeStatus, ...]
    rollout: Rollout | None
    live: tuple[str, ...]
    twins: tuple[Twins, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """When the store does not answer, `there` is None and `unknown` says why."""

    here: Here | None
    there: There | None
    unknown: str | None


def status(here: Here | None, there: Callable[[], There]) -> Status:
    try:
        return Status(here, there(), None)
    except AgentError as error:
        return Status(here, None, str(error))


def cluster(store: ports.Store, ledger: Ledger, inboxes: Inboxes, rollouts: Rollouts, reports: Reports) -> There:
    problems: list[str] = []
    tell = problems.append
    verdict = inboxes.verdict(tell)
    inbox = inboxes.list()
    top, now = ledger.top(tell), store.clock()
    nodes = tuple(reports.known(tell))
    return There(
        at=now,
        store=store.name,
        head=top.release,
        verdict=verdict,
        pending=bool(inbox.entries) and (verdict is None or verdict.fingerprint != inbox.fingerprint),
        nodes=nodes,
        rollout=rollouts.readable(top.number, tell),
        live=rollouts.live(),
        twins=twins.pairs(nodes, tuple(reports.twins(tell)), now=now),
        problems=tuple(problems),
    )


def explain(there: There, node: str) -> str:
    """One paragraph about one node. NotFound, listing the known nodes, when the cluster does not know it."""
    seen = next((each for each in there.nodes if each.report.node == node), None)
    record = there.rollout
    known = {each.report.node for each in there.nodes} | set(there.live)
    if record is not None:
        known |= {
            *record.updated,
            *(failure.node for failure in record.failures),
            *(note.by for note in record.unhealthy),
        }
    if node not in known:
        names = ", ".join(sorted(known)) or "none yet"
        raise NotFound(f"there is no node {node} in {there.store}; the nodes are {names}")
    newest = record.release if record is not None else there.head.number if there.head is not None else None
    told = why.why(node, seen, newest, record, there.live, now=there.at)
    return " ".join([told, *(str(each) for each in there.twins if each.node == node)])


@dataclass(frozen=True, slots=True)
class History:
    """The newest releases, newest first. `problems` has a sentence for each that cannot be read."""

    releases: tuple[Release, ...]
    problems: tuple[str, ...] = ()


def history(ledger: Ledger, limit: int) -> History:
    """At most `limit` releases."""
    found, problems = [], []
    for number in reversed(ledger.numbers()[-limit:]):
        try:
            found.append(ledger.read(number))
        except NotFound:
            continue
        except Corrupt as error:
            problems.append(str(error))
    return History(tuple(found), tuple(problems))
