"""Notifications over XML-RPC: each supervisord makes the loop of its node look at the store."""

import re
from base64 import b64encode
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from http.client import HTTPConnection
from typing import Any
from xmlrpc.client import ServerProxy, Transport

from da_agent.domain.node.rpc_ports import Credentials

_TIMEOUT = 2.0
"""Seconds to wait for all answers: a supervisord that is alive answers sooner."""

_AT_ONCE = 100
_ADDRESS = re.compile(r"[A-Za-z0-9.-]+:[0-9]{1,5}")


class XmlRpcNotifier:
    """Implements `ports.Notifier` by `sendRemoteCommEvent`, an event that the listener `sync` receives."""

    def notify(self, addresses: Mapping[str, str], credentials: Credentials) -> frozenset[str]:
        threads = ThreadPoolExecutor(min(_AT_ONCE, max(1, len(addresses))), thread_name_prefix="notify")
        try:
            notifier = {threads.submit(_notify, address, credentials): name for name, address in addresses.items()}
            done, _ = wait(notifier, _TIMEOUT)
        finally:
            # Calls that have not started are cancelled; those that wait for an answer end by their own time-out.
            threads.shutdown(wait=False, cancel_futures=True)
        # An exception of any kind, in the network or in the answer, means that the node was not notified.
        woken = {notifier[each] for each in done if each.exception() is None}
        return frozenset(addresses) - woken


def _notify(address: str, credentials: Credentials) -> None:
    if not _ADDRESS.fullmatch(address):
        # The address comes from a record in the store, and the password is sent to it.
        raise ValueError(f"{address!r:.200} is no address of a supervisord")
    token = b64encode(f"{credentials.username}:{credentials.password}".encode()).decode()
    transport = _Transport(headers=[("Authorization", f"Basic {token}")])
    try:
        ServerProxy(f"http://{address}/RPC2", transport).supervisor.sendRemoteCommEvent("da_agent", "look")
    finally:
        transport.close()


class _Transport(Transport):
    """A transport with a time-out; the one of the standard library waits for ever."""

    def make_connection(self, host: Any) -> HTTPConnection:
        connection = super().make_connection(host)
        connection.timeout = _TIMEOUT
        return connection
