"""What a TLS server presents."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from da_agent.domain.certificates import pem_blocks
from da_agent.domain.certificates.pem_blocks import CERTIFICATE

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ServerChain:
    """The certificates (DER) in the order in which a server presents them, its own first, and its private key (PEM).

    `root` is the certificate (DER) that clients trust; None when clients are not asked.
    """

    certificates: tuple[bytes, ...]
    key: bytes = field(repr=False)
    root: bytes | None = None


def presented(own: Sequence[T], chain: Sequence[T] | None) -> tuple[T, ...]:
    """What Apache presents of a certificate file and a chain file: of the first only one when there is the second."""
    return tuple(own) if chain is None else (*own[:1], *chain)


def read(certificate: bytes, chain: bytes | None, name: str) -> tuple[bytes, ...]:
    """What Apache presents of these files. Invalid, with `name`, when it could not read them."""
    return presented(_certificates(certificate, name), None if chain is None else _certificates(chain, name))


def _certificates(data: bytes, name: str) -> tuple[bytes, ...]:
    return tuple(block.data for block in pem_blocks.read(data, name) if block.label == CERTIFICATE)
