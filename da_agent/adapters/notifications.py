"""Notifier over XML-RPC: each supervisord tells its loop to look."""

import re
from base64 import b64encode
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from http.client import HTTPConnection
from typing import Any
from xmlrpc.client import ServerProxy, Transport

from da_agent.domain.node.rpc_ports import Credentials

_TIMEOUT = 2.0
"""Seconds in which a supervisord that is alive has answered, and after which nobody is waited for."""

_AT_ONCE = 100
_ADDRESS = re.compile(r"[A-Za-z0-9.-]+:[0-9]{1,5}")


class XmlRpcNotifier:
    """Implements `ports.Notifier` by `sendRemoteCommEvent`, for which the event listener `sync` waits."""

    def notify(self, addresses: Mapping[str, str], credentials: Credentials) -> frozenset[str]:
        threads = ThreadPoolExecutor(min(_AT_ONCE, max(1, len(addresses))), thread_name_prefix="notify")
        try:
            notifier = {threads.submit(_notify, address, credentials): name for name, address in addresses.items()}
            done, _ = wait(notifier, _TIMEOUT)
        finally:
            # Those that have not begun never do; those that wait for an answer end by their own time-out.
            threads.shutdown(wait=False, cancel_futures=True)
        # Whatever went wrong, in our network or in what answered, means the same here.
        woken = {notifier[each] for each in done if each.exception() is None}
        return frozenset(addresses) - woken


def _notify(address: str, credentials: Credentials) -> None:
    if not _ADDRESS.fullmatch(address):
        # The address comes from a record in the store, and a password is sent there.
        raise ValueError(f"{address!r:.200} is no address of a supervisord")
    token = b64encode(f"{credentials.username}:{credentials.password}".encode()).decode()
    transport = _Transport(headers=[("Authorization", f"Basic {token}")])
    try:
        ServerProxy(f"http://{address}/RPC2", transport).supervisor.sendRemoteCommEvent("da_agent", "look")
    finally:
        transport.close()


class _Transport(Transport):
    """The standard one waits for ever."""

    def make_connection(self, host: Any) -> HTTPConnection:
        connection = super().make_connection(host)
        connection.timeout = _TIMEOUT
        return connection
