"""Makes authorities and certificates for tests: small elliptic curve keys, so that hundreds cost nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

Private = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Authority:
    """A root, or an authority below another one."""

    certificate: x509.Certificate
    private: Private

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def subject(self) -> bytes:
        """What a machine that trusts it knows."""
        return self.certificate.subject.public_bytes()


@dataclass(frozen=True)
class Issued:
    """A server's certificate and its key, as files."""

    pem: bytes
    key: bytes
    private: Private


def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def authority(
    name: str,
    *,
    by: Authority | None = None,
    days: int = 3650,
    start: datetime | None = None,
    private: Private | None = None,
) -> Authority:
    """A self-signed root, or one issued `by` another."""
    private = private or ec.generate_private_key(ec.SECP256R1())
    return Authority(_sign(private, name, (), by, days=days, start=start, signs=True), private)


def issue(
    by: Authority | None,
    names: Sequence[str],
    *,
    days: int = 90,
    start: datetime | None = None,
    private: Private | None = None,
) -> Issued:
    """A certificate for `names`, of which the first is the common name too; self-signed without `by`.

    Valid from `start` (now, a minute ago) for `days`.
    """
    private = private or ec.generate_private_key(ec.SECP256R1())
    certificate = _sign(private, names[0], names, by, days=days, start=start, signs=False)
    return Issued(certificate.public_bytes(Encoding.PEM), key_pem(private), private)


def key_pem(private: Private) -> bytes:
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _sign(
    private: Private,
    name: str,
    alternatives: Sequence[str],
    by: Authority | None,
    *,
    days: int,
    start: datetime | None,
    signs: bool,
) -> x509.Certificate:
    begin = start or datetime.now(UTC) - timedelta(minutes=1)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=signs, path_length=None), critical=True)
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(map(x509.DNSName, alternatives))), False)
    return builder.sign(by.private if by else private, hashes.SHA256())
