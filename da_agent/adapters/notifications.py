"""Notifications by UDP: each makes the loop of one node look at the store."""

import secrets
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from da_agent.domain import limits
from da_agent.domain.node.notifications import Key, Message, MessageKind, opened, signed

_SENT_AFTER = (0.0, 0.2, 0.7)
"""When a notification that is not answered is sent, in seconds: a datagram may be lost."""


@dataclass(frozen=True, slots=True)
class _Sent:
    node: str
    destination: tuple[str, int]
    datagram: bytes


class DatagramNotifier:
    """Implements `ports.Notifier`. Whatever comes back is dropped unless a holder of the key has signed it."""

    def notify(self, destinations: Mapping[str, tuple[str, int]], key: Key) -> frozenset[str]:
        unanswered = dict(_letter(node, to, key) for node, to in destinations.items())
        began = time.monotonic()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
            for ends in (*_SENT_AFTER[1:], limits.ANSWERS.total_seconds()):
                for letter in unanswered.values():
                    # A full buffer, or an address without a route: as if the datagram were lost.
                    with suppress(OSError):
                        channel.sendto(letter.datagram, socket.MSG_DONTWAIT, letter.destination)
                _collect(channel, unanswered, key, began + ends)
        return frozenset(letter.node for letter in unanswered.values())


def _letter(node: str, destination: tuple[str, int], key: Key) -> tuple[str, _Sent]:
    message = Message(MessageKind.NOTIFY, node, int(time.time()), secrets.token_hex(16))
    return message.nonce, _Sent(node, destination, signed(message, key))


def _collect(channel: socket.socket, unanswered: dict[str, _Sent], key: Key, ends: float) -> None:
    """Remove what is answered from `unanswered`, until nothing is left or the time ends."""
    while unanswered:
        left = ends - time.monotonic()
        if left <= 0:
            return
        channel.settimeout(left)
        with suppress(OSError):
            answer = opened(channel.recv(limits.DATAGRAM + 1), key)
            if answer is not None and answer.kind is MessageKind.HEARD:
                unanswered.pop(answer.nonce, None)
