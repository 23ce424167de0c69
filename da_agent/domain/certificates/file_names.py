"""Which names a file in a certificate folder can have: nothing but certificates and keys is put on a node."""

from collections.abc import Collection, Iterator

from da_agent.domain.store import keys
from da_agent.domain.store.names import is_relative

PEM = (".crt", ".key", ".pem")
"""Endings of files that are read, and checked, as PEM."""

UNREAD = (".csr", ".p12", ".pfx", ".der")
"""Endings of files in formats for other programs. They are passed on unread; no program loads code from such names."""


def is_certificate(name: str) -> bool:
    return name.endswith((*PEM, *UNREAD))


def mistakes(names: Collection[str], known: Collection[str]) -> Iterator[str]:
    """A mistake for each name that no certificate or key has; `known` have mistakes of their own."""
    for name in sorted(names):
        if not is_certificate(name) and name not in known:
            endings = ", ".join((*PEM, *UNREAD))
            yield f"{keys.CERTIFICATES}{name}: is neither a certificate nor a key ({endings}): delete it"


def impossible(names: Collection[str]) -> Iterator[str]:
    """A mistake for each name that a store can have and a folder cannot: a node could not write such a file."""
    for name in sorted(names):
        if not is_relative(name):
            yield f"{keys.CERTIFICATES}{name}: no part of a name may be empty, . or ..: rename it"
        below = next((other for other in sorted(names) if other.startswith(f"{name}/")), None)
        if below is not None:
            yield (
                f"{keys.CERTIFICATES}{name} is a file, and {keys.CERTIFICATES}{below} lies in a folder of that name:"
                " rename or delete one of them"
            )
