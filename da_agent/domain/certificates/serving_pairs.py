"""Which of the cluster's certificates the web server presents."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from da_agent.domain.store import keys

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


def why_no_https(names: Collection[str]) -> str | None:
    """Why a web server with these files serves no HTTPS, though there is a key; None when it does, or there is none."""
    found = next((name for name in sorted(names) if _is_key(name)), None)
    if found is None or pair(names) is not None:
        return None
    stem = STEMS[0]
    return (
        f"HTTPS is not served: {keys.CERTIFICATES} has the key {found}, but the web server uses only {stem}.crt with"
        f" {stem}.key. Push the certificate and its key under these names"
    )


def _is_key(name: str) -> bool:
    return name.lower().endswith(".key") or name.rsplit("/", 1)[-1] == "privkey.pem"
