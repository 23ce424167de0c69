"""Which of the cluster's certificates the web server presents."""

from collections.abc import Iterable
from dataclasses import dataclass

STEMS = ("docassemble", "apache", "nginx")
"""docassemble's file stems, in order of preference: the oldest one first, then the later ones for each web server."""


@dataclass(frozen=True, slots=True)
class Pair:
    """File names relative to certs/. `chain` has the certificates between `certificate` and a trusted authority."""

    certificate: str
    key: str
    chain: str | None


def pair(names: Iterable[str]) -> Pair | None:
    """The files of the first stem with both certificate and key; None when the web server has nothing to present.

    All files of a pair have the same stem: a certificate never gets the key or the chain of another stem.
    """
    present = frozenset(names)
    for stem in STEMS:
        certificate, key, chain = f"{stem}.crt", f"{stem}.key", f"{stem}.ca.pem"
        if certificate in present and key in present:
            return Pair(certificate, key, chain if chain in present else None)
    return None
