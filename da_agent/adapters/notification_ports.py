"""The UDP port at which this node takes notifications, and the address that the other nodes use."""

import os
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from threading import Event, Thread

from da_agent import files
from da_agent.domain import limits
from da_agent.domain.node.notifications import Key, MessageKind, Received, Reception, opened, signed
from da_agent.errors import NodeBroken

_ELSEWHERE = ("192.0.2.1", 9)
"""An unassigned address (TEST-NET-1). Connecting a UDP socket to it shows this machine's own; no packet is sent."""

_WAITING = 64 * 1024
"""Bytes of datagrams that the kernel keeps for this node. It drops the others."""


@contextmanager
def receiving(
    address: str, port: int, node: str, key: Callable[[], Key | None], wake: Callable[[], object]
) -> Iterator[None]:
    """Call `wake`, in a thread, for each notification of `node` that is signed with the current key, and answer it.

    `key` must not raise; without a key nothing is taken. NodeBroken when the port cannot be opened.
    """
    with ExitStack() as stack:
        channel = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        _bind(channel, address, port)
        receiver = _Receiver(channel, node, key, wake)
        stack.callback(receiver.close)
        thread = Thread(target=receiver.serve, name="notified", daemon=True)
        thread.start()
        # The thread never waits for long, and it must have ended before its socket is closed.
        stack.callback(thread.join)
        stack.callback(receiver.end)
        yield


def _bind(channel: socket.socket, address: str, port: int) -> None:
    try:
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WAITING)
        channel.bind((address, port))
    except OSError as error:
        raise NodeBroken(
            f"cannot open UDP port {address}:{port} for notifications: {files.complaint(error)}. Set"
            " DA_AGENT_NOTIFY_ADDRESS or DA_AGENT_NOTIFY_PORT to another one"
        ) from error


class _Receiver:
    """Takes datagrams until `end` is called."""

    def __init__(
        self, channel: socket.socket, node: str, key: Callable[[], Key | None], wake: Callable[[], object]
    ) -> None:
        self._channel = channel
        self._key = key
        self._wake = wake
        self._received = Received(node)
        self._ended = Event()
        self._bell = os.eventfd(0, os.EFD_CLOEXEC)

    def end(self) -> None:
        self._ended.set()
        os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        os.close(self._bell)

    def serve(self) -> None:
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        poll.register(self._bell, select.POLLIN)
        while not self._ended.is_set():
            poll.poll()
            with suppress(OSError):
                self._take(*self._channel.recvfrom(limits.DATAGRAM + 1, socket.MSG_DONTWAIT))

    def _take(self, datagram: bytes, sender: tuple[str, int]) -> None:
        key = self._key()
        message = None if key is None else opened(datagram, key)
        if key is None or message is None:
            # A flood of wrong signatures takes no processor time: the kernel drops what does not fit.
            self._ended.wait(limits.WRONG_NOTIFICATION.total_seconds())
            return
        self._received, reception = self._received.take(message, datetime.now(UTC))
        if reception is Reception.NEW:
            self._wake()
        if reception is not Reception.REFUSED:
            # Shorter than the request: no sender makes this node send more bytes than it got.
            answer = signed(replace(message, kind=MessageKind.HEARD), key)
            self._channel.sendto(answer, socket.MSG_DONTWAIT, sender)


def seen_from_outside(address: str) -> str | None:
    """The IPv4 address by which other machines reach a server on `address`.

    For 0.0.0.0: the address of the default route, or None when there is none.
    """
    if address != "0.0.0.0":  # noqa: S104
        return address
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ELSEWHERE)
        except OSError:
            return None
        return str(probe.getsockname()[0])
