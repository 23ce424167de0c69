"""The loop of this node and its parts."""

from __future__ import annotations

import random
import secrets
import socket
from contextlib import suppress
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from da_agent import __version__
from da_agent.domain.node.paths import Staged
from da_agent.domain.store import keys
from da_agent.errors import AgentError
from da_agent.wiring.node_services import NodeServices, later

if TYPE_CHECKING:
    from da_agent import ports
    from da_agent.domain.node.notifications import Contact, Key
    from da_agent.domain.node.reports import Report
    from da_agent.domain.rollout.rollouts import Rollout
    from da_agent.workflows.node.converger import Converger
    from da_agent.workflows.node.leaving import Leaving
    from da_agent.workflows.node.reconciler import Reconciler
    from da_agent.workflows.node.rollout_client import RolloutClient
    from da_agent.workflows.publish.inbox_leader import InboxLeader

AT_ONCE = timedelta(seconds=3)
"""How long this node waits for the store while users wait for the node."""

SIGNING_OFF = timedelta(seconds=8)
"""How long this node waits for the store when it signs off."""


class NodeLoop(NodeServices):
    """The loop that keeps this node on the wanted release, each part built on first use."""

    _live_key: tuple[Path, Key | None] | None = None
    """The folder of a release, and the key that follows from its configuration."""

    @cached_property
    def deadline(self) -> ports.Deadline:
        from da_agent.adapters.deadlines import within

        return within(AT_ONCE)

    @cached_property
    def inbox_leader(self) -> InboxLeader:
        from da_agent.domain.config import first_configurations
        from da_agent.workflows.publish.inbox_leader import InboxLeader

        return InboxLeader(
            store=self.store,
            ledger=self.ledger,
            inboxes=self.inboxes,
            # Built on demand: resolving packages and reading certificates takes memory, and most nodes never do it.
            publish=later(lambda: self.publisher.publish),
            publishing=self.lease(self.name),
            watching=self.lease(self.name, keys.INBOX_LEADER),
            clock=self.clock,
            progress=self.progress,
            render=lambda: first_configurations.render(self.environment, secrets.token_urlsafe(32)),
        )

    @cached_property
    def rollout_client(self) -> RolloutClient:
        from da_agent.workflows.node.rollout_client import RolloutClient

        return RolloutClient(
            self.store, self.rollouts, self.clock, self.name, deadline=self.deadline, notify=self.notifications.notify
        )

    def _verdict(self, number: int) -> Rollout | None:
        rollouts = self.rollouts
        return self.deadline(lambda: rollouts.read(number))

    @cached_property
    def converging(self) -> Converger:
        from da_agent.wiring.convergers import converger

        return converger(
            installation=self.installation,
            node_states=self.node_states,
            transfers=self.transfers,
            web=self.web,
            commands=self.commands,
            supervisor=self.supervisor,
            rollout_client=self.rollout_client,
            clock=self.clock,
            progress=self.progress,
            settings=self.settings,
            place=self.certificates.follow,
            verdict=self._verdict,
        )

    @cached_property
    def reconciler(self) -> Reconciler:
        from da_agent.workflows.node.reconciler import Reconciler

        return Reconciler(
            store=self.store,
            ledger=self.ledger,
            admit=self.require_fit,
            inbox_leader=self.inbox_leader,
            node=self.converging,
            rollout_client=self.rollout_client,
            lock=self.lock,
            heard=self.last_contact.record,
            last_contact=self.last_contact.last,
            clock=self.clock,
            deadline=self.deadline,
            progress=self.progress,
            report=self.report(),
            settings=self.live_settings,
            chance=random.random,
            activity=self.progress.now,
            contact=self.contact,
        )

    @cached_property
    def leaving(self) -> Leaving:
        from da_agent.workflows.node.leaving import Leaving

        return Leaving(
            traffic=self.web,
            supervisor=self.supervisor,
            clock=self.clock,
            progress=self.progress,
            settings=self.live_settings,
            sign_off=self._sign_off,
        )

    def _sign_off(self) -> None:
        """Sign off within SIGNING_OFF: supervisord waits for this, and the store may be unreachable."""
        from da_agent.adapters.deadlines import within

        # Built in this thread: the other thread may only call the store.
        departures, name, identity = self.departures, self.name, self._identity()
        within(SIGNING_OFF)(lambda: departures.sign_off(name, identity))

    def _identity(self) -> str:
        """Identifies this machine: a copy of its disk has another one."""
        from da_agent.adapters.identities import identity

        return identity(self.paths.root, self._address())

    def _address(self) -> str:
        return f"{self.node.address}:{self.node.http_port}"

    def report(self) -> Report:
        from da_agent.domain.node.reports import Phase, Report

        return Report(
            node=self.name,
            host=socket.gethostname(),
            address=self._address(),
            release=None,
            target=None,
            phase=Phase.STARTING,
            problem=None,
            agent=__version__,
            python=str(self.resolver.target),
            started_at=self.clock.now(),
            identity=self._identity(),
        )

    def contact(self) -> Contact | None:
        """Where other machines notify this node; None while it only polls."""
        from da_agent.domain.node import notifications

        if self.notified_at is None or (key := self.live_key()) is None:
            return None
        return notifications.contact(self.name, self.notified_at, key)

    @cached_property
    def notified_at(self) -> str | None:
        """The "address:port" for notifications from other machines; None without a port or a route to this machine."""
        from da_agent.adapters.notification_ports import seen_from_outside

        address = None if self.node.notify_port is None else seen_from_outside(self.node.notify_address)
        return None if address is None else f"{address}:{self.node.notify_port}"

    def live_key(self) -> Key | None:
        """What notifications of this node are signed with: it follows from the live release. None without one.

        Called for each datagram: the configuration is read once for each release. Raises nothing.
        """
        live = self.paths.current.resolve()
        known = self._live_key
        if known is None or known[0] != live:
            with suppress(OSError):
                known = self._live_key = live, self._key_in(Staged(live).config.read_bytes())
        return known[1] if known is not None and known[0] == live else None

    def _key_in(self, configuration: bytes) -> Key | None:
        from da_agent.domain.config import configurations
        from da_agent.domain.node import notifications

        try:
            return notifications.key_of(configurations.parse(configuration))
        except AgentError as error:
            self.progress.say(f"This node gets no notifications and only polls: {error}")
            return None
