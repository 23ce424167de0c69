"""Whether a chain of certificates leads from a server to an authority that clients trust."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import Certificate, Name
from cryptography.x509.oid import NameOID

_LEAST_BITS = 2048
"""The shortest RSA key. Apache reads certificates at OpenSSL's security level 2, which accepts no shorter key."""

_BROKEN = {"md5": "MD5", "sha1": "SHA-1"}
"""The hashes that OpenSSL's security level 2 accepts in no signature, by the name that `cryptography` gives them."""


def title(certificate: Certificate) -> str:
    return _called(certificate.subject)


def issuer(certificate: Certificate) -> str:
    return _called(certificate.issuer)


def common_names(name: Name) -> list[str]:
    return [_printable(str(attribute.value)) for attribute in name.get_attributes_for_oid(NameOID.COMMON_NAME)]


def _called(name: Name) -> str:
    """The name for messages: the common name, or else the whole distinguished name."""
    return next(iter(common_names(name)), "") or _printable(name.rfc4514_string()) or "(no name)"


def _printable(text: str) -> str:
    """`text` with a ? for each unprintable character.

    A certificate can have any name, and unprintable characters in it could control a terminal.
    """
    return "".join(each if each.isprintable() else "?" for each in text)


def issued(certificate: Certificate, by: Certificate) -> bool:
    """Whether `by` signed `certificate`: the names match and the signature is valid."""
    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def mistakes(
    leaf: Certificate, chain: Sequence[Certificate], files: str, *, now: datetime, anchors: Collection[bytes]
) -> Iterator[str]:
    """The mistakes in a server's certificate `leaf` and its chain, one sentence each.

    `files` names the file for missing certificates. `anchors` are the subjects (DER) of authorities that clients know.
    """
    for certificate in chain:
        yield from _dates(certificate, now)
        yield from _strength(certificate)
    broken = [each for each in chain if _broken_hash(each) is not None]
    if broken:
        # Such a signature cannot be verified, so nothing can be said about the chain.
        yield from (
            f'"{title(each)}" is signed with {_broken_hash(each)}, which OpenSSL refuses: '
            "get a certificate that is signed with SHA-256"
            for each in broken
        )
        return
    path = _path(leaf, chain)
    if path != list(chain[: len(path)]):
        order = ", ".join(f'"{title(certificate)}"' for certificate in path)
        yield f"the certificates are out of order: the right order is {order}"
    others = [f'"{title(certificate)}"' for certificate in chain if certificate not in path]
    last = path[-1]
    if not issued(last, last) and last.issuer.public_bytes() not in anchors:
        despite = f" ({', '.join(others)} did not sign it)" if others else ""
        yield (
            f'the chain is incomplete: "{title(last)}" was issued by "{issuer(last)}", whose certificate '
            f"is neither here{despite} nor known to this machine: append it to {files}"
        )
    else:
        yield from (f"{other} is no part of the chain: delete it" for other in others)


def _path(leaf: Certificate, chain: Sequence[Certificate]) -> list[Certificate]:
    """The certificates from `leaf` upwards, each signed by the next, as far as `chain` has them in any order."""
    path = [leaf]
    while not issued(path[-1], path[-1]):
        above = next((other for other in chain if other not in path and issued(path[-1], other)), None)
        if above is None:
            break
        path.append(above)
    return path


def _dates(certificate: Certificate, now: datetime) -> Iterator[str]:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > end:
        yield f'"{title(certificate)}" expired on {end:%Y-%m-%d %H:%M} UTC: renew it'
    if now < begin:
        yield f'"{title(certificate)}" is not valid before {begin:%Y-%m-%d %H:%M} UTC'


def _strength(certificate: Certificate) -> Iterator[str]:
    """The mistakes that make OpenSSL reject a certificate as too weak."""
    key, called = certificate.public_key(), title(certificate)
    if isinstance(key, RSAPublicKey) and key.key_size < _LEAST_BITS:
        yield (
            f'"{called}" has an RSA key of {key.key_size} bits, which OpenSSL refuses: '
            f"get a certificate with at least {_LEAST_BITS} bits"
        )


def _broken_hash(certificate: Certificate) -> str | None:
    """The hash of the signature if OpenSSL refuses it. The signature of an authority on itself is not verified."""
    if certificate.issuer == certificate.subject:
        return None
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return None
    return None if algorithm is None else _BROKEN.get(algorithm.name)
