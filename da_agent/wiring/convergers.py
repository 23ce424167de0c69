"""The parts of a node's loop, put together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from da_agent import ports
from da_agent.workflows.node.checkups import Checkup
from da_agent.workflows.node.converger import Converger
from da_agent.workflows.node.mover import Mover
from da_agent.workflows.node.preparer import Preparer
from da_agent.workflows.node.prober import Prober
from da_agent.workflows.node.record_writer import RecordWriter
from da_agent.workflows.node.switcher import Switcher

if TYPE_CHECKING:
    from da_agent.domain.config.settings import Settings
    from da_agent.domain.release.releases import Release
    from da_agent.domain.rollout.rollouts import Rollout
    from da_agent.workflows.node.rollout_client import RolloutClient


class Web(ports.WebService, ports.Workers, ports.Traffic, Protocol):
    """A whole web server."""


def converger(
    *,
    installation: ports.Installation,
    node_states: ports.NodeStates,
    transfers: ports.Transfers,
    web: Web,
    commands: ports.Commands,
    supervisor: ports.Supervisor,
    rollout_client: RolloutClient,
    clock: ports.Clock,
    progress: ports.Progress,
    settings: Callable[[Release], Settings],
    place: Callable[[], object],
    verdict: Callable[[int], Rollout | None],
) -> Converger:
    """The loop of a node. `place` places the certificates of the current release; `verdict` is as in Prober."""

    def settings_of(number: int) -> Settings:
        return settings(installation.load(number))

    prober = Prober(
        web=web,
        workers=web,
        checkup=Checkup(web, commands, supervisor, clock),
        clock=clock,
        settings_of=settings_of,
        revive=supervisor.revive,
        verdict=verdict,
    )
    switcher = Switcher(
        installation=installation,
        node_states=node_states,
        web=web,
        prober=prober,
        clock=clock,
        progress=progress,
        settings_of=settings_of,
        place=place,
    )
    mover = Mover(
        web=web,
        traffic=web,
        switcher=switcher,
        rollout_client=rollout_client,
        clock=clock,
        progress=progress,
        settings_of=settings_of,
    )
    preparer = Preparer(
        installation=installation,
        node_states=node_states,
        transfers=transfers,
        web=web,
        commands=commands,
        rollout_client=rollout_client,
        clock=clock,
        progress=progress,
        settings=settings,
    )
    return Converger(
        installation=installation,
        node_states=node_states,
        web=web,
        workers=web,
        traffic=web,
        preparer=preparer,
        mover=mover,
        prober=prober,
        switcher=switcher,
        record_writer=RecordWriter(node_states=node_states, prober=prober, rollout_client=rollout_client, clock=clock),
        rollout_client=rollout_client,
        clock=clock,
    )
