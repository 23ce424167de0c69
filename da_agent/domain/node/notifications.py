"""A notification: a signed datagram that makes one node look at the store, and that can do nothing else.

A datagram is an HMAC-SHA256 over the rest, which is JSON: kind, node, time, nonce. Nothing in it is secret, so it may
reach a wrong address. Nothing is parsed before the signature is checked.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING

from da_agent.domain import limits
from da_agent.errors import Invalid

if TYPE_CHECKING:
    # The YAML reader takes long to import, and a process that only notifies does not need it.
    from da_agent.domain.config.configurations import Configuration

_SIZE = hashlib.sha256().digest_size
_FORMAT = 1
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_NONCE = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Key:
    """What the nodes of one cluster sign notifications with. It opens nothing else."""

    secret: bytes = field(repr=False)


def key_of(configuration: Configuration) -> Key | None:
    """The key that follows from `secretkey`; None without one. The secret key does not follow from it.

    Raises Invalid when the secret key is so short that it could be found from one notification, by trying.
    """
    secret = configuration.value("secretkey")
    if not isinstance(secret, str) or not secret:
        return None
    if len(secret) < limits.NOTIFICATION_KEY:
        raise Invalid(
            f"cannot sign notifications: secretkey in config.yml is shorter than {limits.NOTIFICATION_KEY} characters."
            " Set a random one; it logs out every user"
        )
    return Key(_hmac(secret.encode(errors="surrogatepass"), b"da_agent notifications"))


# ---- where a node can be notified


@dataclass(frozen=True, slots=True)
class Contact:
    """The address at which a node takes notifications, as in 10.0.0.7:9002, and the proof that the node wrote it."""

    address: str
    proof: str


def contact(node: str, address: str, key: Key) -> Contact:
    return Contact(address, _proof(node, address, key))


def destination(node: str, there: Contact, key: Key) -> tuple[str, int] | None:
    """The IP address and port of `there`; None unless a holder of the key wrote it for `node`.

    Anything may stand in a report, and no datagram goes where only a report says so. Names are not resolved.
    """
    if not hmac.compare_digest(there.proof.encode(errors="replace"), _proof(node, there.address, key).encode()):
        return None
    host, _, port = there.address.partition(":")
    try:
        found = ipaddress.IPv4Address(host)
    except ValueError:
        return None
    if found.is_multicast or found.is_unspecified or found.is_reserved:
        return None
    return (host, int(port)) if _PORT.fullmatch(port) and int(port) < 65536 else None


def _proof(node: str, address: str, key: Key) -> str:
    return _hmac(key.secret, json.dumps(["contact", node, address]).encode()).hex()


# ---- what is sent


class MessageKind(Enum):
    """A request to look at the store, and the answer that it has arrived."""

    NOTIFY = "notify"
    HEARD = "heard"


@dataclass(frozen=True, slots=True)
class Message:
    """`node` is the node that is notified, also in its answer. `at` is in whole seconds. `nonce` is 32 hex digits."""

    kind: MessageKind
    node: str
    at: int
    nonce: str


def signed(message: Message, key: Key) -> bytes:
    body = json.dumps([_FORMAT, message.kind.value, message.node, message.at, message.nonce]).encode()
    return _hmac(key.secret, body) + body


def opened(datagram: bytes, key: Key) -> Message | None:
    """The message in a datagram; None when it was not signed with this key, or is no message of this format."""
    body = datagram[_SIZE:]
    if len(datagram) > limits.DATAGRAM or not hmac.compare_digest(datagram[:_SIZE], _hmac(key.secret, body)):
        return None
    try:
        found = json.loads(body)
    except ValueError:
        return None
    match found:
        case [1, "notify" | "heard" as kind, str(node), int(at), str(nonce)] if _NONCE.fullmatch(nonce):
            return Message(MessageKind(kind), node, at, nonce)
    return None


def _hmac(secret: bytes, text: bytes) -> bytes:
    return hmac.digest(secret, text, "sha256")


# ---- what is taken


class Reception(Enum):
    """What a node does with a message: act on it and answer, only answer it again, or drop it."""

    NEW = "new"
    REPEATED = "repeated"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Received:
    """The nonces of the notifications that `node` has acted on, and when each was signed, while they could be sent
    again."""

    node: str
    nonces: Mapping[str, int] = field(default_factory=dict)

    def take(self, message: Message, now: datetime) -> tuple[Received, Reception]:
        """Refused: what is for another node, older or newer than the limit, or one too many."""
        age = timedelta(seconds=now.timestamp()) - timedelta(seconds=_within_reason(message.at))
        if message.kind is not MessageKind.NOTIFY or message.node != self.node or abs(age) > limits.NOTIFICATION_AGE:
            return self, Reception.REFUSED
        if message.nonce in self.nonces:
            return self, Reception.REPEATED
        oldest = (now - limits.NOTIFICATION_AGE).timestamp()
        fresh = {nonce: at for nonce, at in self.nonces.items() if at >= oldest}
        if len(fresh) >= limits.NOTIFICATIONS:
            return self, Reception.REFUSED
        return Received(self.node, fresh | {message.nonce: message.at}), Reception.NEW


def _within_reason(at: int) -> int:
    """A number of seconds that a timedelta can hold."""
    return max(0, min(at, 10**10))
