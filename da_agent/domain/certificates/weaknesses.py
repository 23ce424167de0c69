"""What makes OpenSSL refuse a certificate as too weak, at the security level 2 of Debian's and Ubuntu's Apache."""

from collections.abc import Iterator

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import Certificate

from da_agent.domain.certificates.names import title

_LEAST_RSA_BITS = 2048
_LEAST_CURVE_BITS = 224

_BROKEN = {"md5": "MD5", "sha1": "SHA-1"}
"""The hashes that are accepted in no signature, by the name that `cryptography` gives them."""


def weak_keys(certificate: Certificate) -> Iterator[str]:
    key, called = certificate.public_key(), title(certificate)
    if isinstance(key, RSAPublicKey) and key.key_size < _LEAST_RSA_BITS:
        yield (
            f'"{called}" has an RSA key of {key.key_size} bits, which OpenSSL refuses: '
            f"get a certificate with at least {_LEAST_RSA_BITS} bits"
        )
    if isinstance(key, EllipticCurvePublicKey) and key.key_size < _LEAST_CURVE_BITS:
        yield (
            f'"{called}" has a key on an elliptic curve of {key.key_size} bits, which OpenSSL refuses: '
            "get a certificate with the curve P-256"
        )


def weak_signatures(certificate: Certificate) -> Iterator[str]:
    broken = _broken_hash(certificate)
    if broken is not None:
        yield (
            f'"{title(certificate)}" is signed with {broken}, which OpenSSL refuses: '
            "get a certificate that is signed with SHA-256"
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
