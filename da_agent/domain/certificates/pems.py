"""PEM files with certificates and keys."""

import re
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from da_agent.errors import Invalid

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_KEYS = (b"PRIVATE KEY", b"RSA PRIVATE KEY", b"EC PRIVATE KEY", b"DSA PRIVATE KEY")
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
    blocks = [(match[1], match[0]) for match in _BLOCK.finditer(data)]
    if not blocks:
        raise Invalid(f"{name}: {_foreign(data, name)}")
    keys = [_key(label, block, name) for label, block in blocks if label.endswith(b"PRIVATE KEY")]
    certificates = [_certificate(block, name) for label, block in blocks if label == b"CERTIFICATE"]
    return Pem(tuple(certificates), tuple(keys))


def public_half(key: CertificatePublicKeyTypes) -> bytes:
    """The DER bytes of a public key: equal for a certificate and the private key that belongs to it."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _key(label: bytes, block: bytes, name: str) -> bytes:
    if label == b"ENCRYPTED PRIVATE KEY" or b"Proc-Type: 4,ENCRYPTED" in block:
        remedy = f"store it without (openssl pkey -in {name} -out {name})"
        raise Invalid(f"{name}: is protected by a passphrase, which cannot be typed when a node starts: {remedy}")
    if label not in _KEYS:
        raise Invalid(f"{name}: is a key of another kind ({label.decode()}): make it again (openssl genpkey)")
    try:
        key = load_pem_private_key(block, password=None)
        return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The error of the library is dropped: it may quote the key.
        raise Invalid(f"{name}: holds a private key that cannot be read: export it again") from None


def _certificate(block: bytes, name: str) -> x509.Certificate:
    try:
        certificate = x509.load_pem_x509_certificate(block)
        # The library parses these parts on access only. Accessing them here makes later accesses safe.
        public_half(certificate.public_key())
        _ = certificate.subject, certificate.issuer, certificate.extensions
    except _UNREADABLE as error:
        raise Invalid(f"{name}: holds a certificate that cannot be read: export it again") from error
    return certificate


def _foreign(data: bytes, name: str) -> str:
    if not data.strip():
        return "is empty"
    if b"-----BEGIN " in data:
        return "is cut off: a line -----BEGIN …----- has no matching -----END …-----"
    if data.startswith(b"\x30"):
        tool = "openssl pkey" if name.endswith(".key") else "openssl x509"
        return f"is in the binary format DER: make it PEM ({tool} -inform der -in {name} -out {name})"
    return "is not in the format PEM: it has no line such as -----BEGIN CERTIFICATE-----"
