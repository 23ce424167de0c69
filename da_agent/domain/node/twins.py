"""Which of several machines with one name, such as a clone and its original, has that name.

The report in the store is a lease on the name: the machine that wrote it has the name as long as it reports. A machine
that finds a fresh report with another identity is the second one. It takes no part until the first machine has been
silent for the usual time: it reports elsewhere, claims no slot and writes nothing into a rollout.

A restarted machine finds its own last report, with another identity when its kernel was restarted. That report is never
renewed, and the report of a twin is. So only a renewed report is a twin's.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from da_agent.domain.node.reports import SILENT, NodeStatus, Report

UNCONFIRMED = "the store has not taken the report of this node yet"


@dataclass(frozen=True, slots=True)
class Name:
    """What one process knows of its machine's right to the node's name.

    held      whether the store has taken a report of this machine and no other machine's has been found since
    tag       the tag of the report as this process left it; "" when there is none in the store, None when not known
    rival     the fresh report of another machine, as it was when it was first found
    renewed   whether that machine has reported again since: then two machines have the name
    """

    held: bool = False
    tag: str | None = None
    rival: NodeStatus | None = None
    renewed: bool = False

    # ---- what happens

    def found(self, mine: Report, there: NodeStatus, tag: str, *, now: datetime) -> "Name":
        """The state after reading the report that the store has under this name."""
        if is_same(mine.identity, there.report.identity) or there.silent(now, SILENT):
            return Name(self.held, tag)
        if self.rival is None or self.rival.report.identity != there.report.identity:
            return Name(rival=there)
        return Name(rival=self.rival, renewed=self.renewed or there.at > self.rival.at)

    def missing(self) -> "Name":
        """The store has no report under this name."""
        return Name(self.held, "")

    def sent(self, tag: str) -> "Name":
        """The store has taken the report of this machine."""
        return Name(held=True, tag=tag)

    def doubted(self) -> "Name":
        """The report in the store may differ from what this process wrote."""
        return Name(self.held, None, self.rival, self.renewed)

    # ---- what follows

    def excluded(self, mine: Report) -> str | None:
        """Why this machine takes no part in rollouts; None when it may."""
        if self.rival is None:
            return None if self.held else UNCONFIRMED
        there = self.rival.report
        if self.renewed:
            return (
                f"cannot take part in rollouts: another machine reports as {mine.node}, too ({place(there)})."
                " Give this machine another name with DA_AGENT_NODE, or stop the other one"
            )
        return (
            f"waiting for the name {mine.node}: its last report came from an earlier start of this machine or from"
            f" another one ({place(there)}). The name is free {SILENT.seconds} s after that report"
        )


def is_same(mine: str, there: str) -> bool:
    """Whether two reports with these identities come from one machine. One without an identity counts as its own."""
    return not mine or not there or mine == there


def place(report: Report) -> str:
    return f"host {report.host}, address {report.address}"


@dataclass(frozen=True, slots=True)
class Twins:
    """Two machines with one name; `host` and `address` are those of the machine that has it."""

    node: str
    host: str
    address: str
    other_host: str
    other_address: str

    def __str__(self) -> str:
        return (
            f"Two machines report as {self.node}: host {self.host}, address {self.address} has the name, and host"
            f" {self.other_host}, address {self.other_address} gets no slot. Give the second one another name with"
            " DA_AGENT_NODE, or stop it."
        )


def pairs(holders: Collection[NodeStatus], others: Collection[NodeStatus], *, now: datetime) -> tuple[Twins, ...]:
    """Every name that two machines report as; `others` are the reports of the machines that take no part."""
    first = {each.report.node: each.report for each in holders}
    second = sorted((each.report for each in others if not each.silent(now, SILENT)), key=lambda each: each.node)
    return tuple(
        Twins(each.node, first[each.node].host, first[each.node].address, each.host, each.address)
        for each in second
        if each.node in first and not is_same(first[each.node].identity, each.identity)
    )
