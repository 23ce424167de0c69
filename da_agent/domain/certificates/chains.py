"""Whether a chain of certificates leads from a server to an authority that clients trust.

The path ends with the first certificate that a trusted root has signed, or that has the subject and key of one: clients
look at nothing above it. An extra, doubled or expired certificate there is a warning.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography.x509 import Certificate

from da_agent.domain import limits
from da_agent.domain.certificates.anchors import Anchors, is_valid, issued
from da_agent.domain.certificates.names import issuer, title
from da_agent.domain.certificates.weaknesses import weak_keys, weak_signatures


@dataclass(frozen=True, slots=True)
class Findings:
    """One sentence each. `root` is the trusted root at the end of the path, None without one."""

    mistakes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    root: Certificate | None = None


@dataclass(frozen=True, slots=True)
class _Path:
    """Certificates from the server's upwards, each signed by the next; `root` ends it, unless it is incomplete."""

    members: tuple[Certificate, ...]
    root: Certificate | None = None


def examine(
    leaf: Certificate, chain: Sequence[Certificate], files: str, *, now: datetime, anchors: Anchors
) -> Findings:
    """What is wrong with a server's certificate `leaf` in the `chain` that is presented.

    `files` names the file for missing certificates.
    """
    if len(chain) > limits.CHAIN:
        return Findings((f"there are {len(chain)} certificates; clients accept {limits.CHAIN} at most",))
    kept = list(dict.fromkeys(chain))
    keys = [mistake for each in kept for mistake in weak_keys(each)]
    signatures = [mistake for each in kept for mistake in weak_signatures(each)]
    if signatures:
        # Such a signature cannot be verified, so nothing can be said about the chain.
        return Findings((*(mistake for each in kept for mistake in _dates(each, now)), *keys, *signatures))
    path = _path(leaf, kept, anchors, now)
    if path.root is None:
        dates = [mistake for each in kept for mistake in _dates(each, now)]
        return Findings((*dates, *keys, *_order(path, kept), _incomplete(path, kept, files)))
    dates = [mistake for each in path.members for mistake in _dates(each, now)]
    mistakes = (*dates, *keys, *_order(path, kept))
    return Findings(mistakes, tuple(_needless(path, chain, now)), path.root)


def _path(leaf: Certificate, chain: Sequence[Certificate], anchors: Anchors, now: datetime) -> _Path:
    """The first path to a trusted root, and without one the first that goes as far as it can.

    Clients prefer certificates that have not expired, and so does this; else the order of `chain` counts.
    """
    dead: set[Certificate] = set()

    def climb(members: tuple[Certificate, ...]) -> Iterator[_Path]:
        last = members[-1]
        root = anchors.twin(last) or anchors.issuer(last) or (last if issued(last, last) else None)
        if root is not None:
            yield _Path(members, root)
            return
        dead.add(last)
        above = [each for each in chain if each not in dead and issued(last, each)]
        for each in sorted(above, key=lambda each: not is_valid(each, now)):
            yield from climb((*members, each))
        if not above:
            yield _Path(members)

    found = list(climb((leaf,)))
    return next((path for path in found if path.root is not None), found[0])


def _order(path: _Path, chain: Sequence[Certificate]) -> Iterator[str]:
    there = [each for each in chain if each in path.members]
    if there != list(path.members) or chain[0] != path.members[0]:
        order = ", ".join(f'"{title(certificate)}"' for certificate in path.members)
        yield f"the certificates are out of order: the right order is {order}"


def _incomplete(path: _Path, chain: Sequence[Certificate], files: str) -> str:
    last = path.members[-1]
    others = [f'"{title(certificate)}"' for certificate in chain if certificate not in path.members]
    despite = f" ({', '.join(others)} did not sign it)" if others else ""
    return (
        f'the chain is incomplete: "{title(last)}" was issued by "{issuer(last)}", whose certificate '
        f"is neither here{despite} nor known to this machine: append it to {files}"
    )


def _needless(path: _Path, chain: Sequence[Certificate], now: datetime) -> Iterator[str]:
    """Warnings about certificates that clients do not need. The issuer right above the path is usual, and no fault."""
    usual = (*path.members, *_usual(path, chain))
    for certificate in dict.fromkeys(chain):
        expired = "".join(f", and it {mistake}" for mistake in _expired(certificate, now))
        if certificate not in path.members and (certificate not in usual or expired):
            yield f'"{title(certificate)}", issued by "{issuer(certificate)}", is not needed{expired}: delete it'
    for called in sorted({title(each) for each in chain if chain.count(each) > 1}):
        yield f'"{called}" is there twice: delete one'


def _usual(path: _Path, chain: Sequence[Certificate]) -> Iterator[Certificate]:
    """The trusted root, or its key signed by another authority, when it comes next in the chain."""
    after = [each for each in dict.fromkeys(chain) if each not in path.members]
    if after and issued(path.members[-1], after[0]):
        yield after[0]


def _dates(certificate: Certificate, now: datetime) -> Iterator[str]:
    for expired in _expired(certificate, now):
        yield f'"{title(certificate)}" {expired}: renew it'
    begin = certificate.not_valid_before_utc
    if now < begin:
        yield f'"{title(certificate)}" is not valid before {begin:%Y-%m-%d %H:%M} UTC'


def _expired(certificate: Certificate, now: datetime) -> Iterator[str]:
    end = certificate.not_valid_after_utc
    if now > end:
        yield f"expired on {end:%Y-%m-%d %H:%M} UTC"
