"""The operations of supervisor's programs on this node."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping
from contextlib import ExitStack

from da_agent.domain.store.locations import DirectoryLocation
from da_agent.errors import AgentError
from da_agent.wiring.node_loops import NodeLoop


class NodeAgent(NodeLoop):
    """This node, as its supervisord runs it."""

    def __init__(self, environment: Mapping[str, str] | None = None, store: str | None = None) -> None:
        super().__init__(environment, store)
        self._parent = os.getppid()

    def prepare(self) -> None:
        """Make the node's own folders where they are missing, each for those who must enter it."""
        self.make_folders()

    def end_predecessors(self) -> None:
        """End programs that an earlier supervisord left running: they would continue to work on this node for a while.

        Apache is not among them: a left-over Apache serves until its successor starts.
        """
        from da_agent.adapters import predecessors

        ended = predecessors.end(self.paths.root, self.supervisor)
        if ended:
            self.progress.say(f"Ended processes that an earlier supervisord left running: {', '.join(ended)}")

    def intact(self) -> bool:
        """True while the socket and the log folder of supervisord exist. A running agent does not make them again."""
        return (self.paths.run / "supervisor.sock").exists() and self.paths.logs.is_dir()

    def begin_anew(self) -> None:
        """Restart supervisord: it rereads its files, makes its sockets again and starts `initialize`."""
        from da_agent.adapters.supervisors import restart_parent

        self.prepare()
        restart_parent(self._parent)

    def open_rpc_port(self) -> bool:
        """Make supervisord take commands from the network as the environment says.

        Returns True when supervisord restarts for this, which ends the current program. An AgentError is only said: the
        node works without this port.
        """
        from da_agent.adapters.rpc_ports import RpcPortFile
        from da_agent.adapters.supervisors import require_own_python
        from da_agent.domain.node import rpc_ports

        node = self.node
        try:
            section = rpc_ports.section(node, None if node.rpc_port is None else self.rpc_credentials())
            if section is not None:
                require_own_python(self._parent)
            if not RpcPortFile(self.paths.rpc_port).put(section, node.rpc_address, node.rpc_port):
                return False
            self.begin_anew()
        except AgentError as error:
            self.progress.say(f"The port of supervisord stays as it is: {error}")
            return False
        self.progress.say("Restarting supervisord to open or close its port")
        return True

    def listen(self, stack: ExitStack, events: Collection[str]) -> None:
        """Act as an event listener of supervisor on stdin and stdout until `stack` closes.

        `events` wake the clock.
        """
        from da_agent.adapters.listeners import listen

        stack.enter_context(
            listen(
                sys.stdin,
                sys.stdout,
                wake=lambda event: self.clock.wake() if event in events else None,
                stop=self.clock.stop,
            )
        )

    def receive_notifications(self, stack: ExitStack) -> None:
        """Wake the clock on notifications of other nodes until `stack` closes, if the environment names a port.

        An AgentError is only said: the node works without notifications, because it polls.
        """
        from da_agent.adapters.notification_ports import receiving

        port = self.node.notify_port
        if port is None:
            return
        try:
            stack.enter_context(receiving(self.node.notify_address, port, self.name, self.live_key, self.clock.wake))
        except AgentError as error:
            self.notified_at = None
            self.progress.say(f"This node gets no notifications and only polls: {error}")

    def watch(self, stack: ExitStack) -> None:
        """Wake the clock on changes of inbox and ledger until `stack` closes; does nothing for a bucket."""
        if isinstance(self.location, DirectoryLocation):
            from da_agent.adapters.watches import watch

            stack.enter_context(watch(self.location.path, self.clock.wake, polling=None))

    def beat(self, stack: ExitStack) -> None:
        """Report on time until `stack` closes, even while the loop is busy."""
        from da_agent.adapters.heartbeats import beating
        from da_agent.domain.node.heartbeats import HEARTBEAT

        stack.enter_context(beating(self.reconciler.beat, HEARTBEAT / 6))
