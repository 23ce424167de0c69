"""PEM files with certificates and keys."""

from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from da_agent.domain.certificates import pem_blocks
from da_agent.domain.certificates.pem_blocks import Block
from da_agent.errors import Invalid

_KEYS = ("PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "DSA PRIVATE KEY")
_UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True, slots=True)
class Pem:
    """The contents of a file. Only the public half of a private key is kept, so this value contains no secret."""

    certificates: tuple[x509.Certificate, ...]
    keys: tuple[bytes, ...]


def parse(data: bytes, name: str) -> Pem:
    """The contents of a PEM file. Invalid, with `name` but never the contents, when a server could not read it."""
    blocks = pem_blocks.read(data, name)
    keys = [_key(block, name) for block in blocks if block.is_key]
    certificates = [_certificate(block, name) for block in blocks if block.label == pem_blocks.CERTIFICATE]
    return Pem(tuple(certificates), tuple(keys))


def public_half(key: CertificatePublicKeyTypes) -> bytes:
    """The DER bytes of a public key: equal for a certificate and the private key that belongs to it."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _key(block: Block, name: str) -> bytes:
    if block.label not in _KEYS:
        raise Invalid(f"{name}: is a key of another kind ({block.label}): make it again (openssl genpkey)")
    try:
        key = load_pem_private_key(pem_blocks.text([block]), password=None)
        return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The error of the library is dropped: it may quote the key.
        raise Invalid(f"{name}: holds a private key that cannot be read: export it again") from None


def _certificate(block: Block, name: str) -> x509.Certificate:
    try:
        certificate = x509.load_der_x509_certificate(block.data)
        # The library parses these parts on access only. Accessing them here makes later accesses safe.
        public_half(certificate.public_key())
        _ = certificate.subject, certificate.issuer, certificate.extensions
    except _UNREADABLE as error:
        raise Invalid(f"{name} line {block.line}: this certificate cannot be read: export it again") from error
    return certificate
